"""What a node answers the others' questions."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tidegate.stores.cluster import MAX_ANSWER_BYTES
from tidegate.stores.records import Unwatch

logger = logging.getLogger("tidegate.stores")


class Answering:
    """Answers for one node, once `answer` has said how."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._on_question: Callable[[bytes], bytes] | None = None

    def answer(self, on_question: Callable[[bytes], bytes]) -> Unwatch:
        """See `Cluster.answer`."""
        self._on_question = on_question
        return self._answer_no_more

    def reply(self, question: bytes) -> bytes | None:
        """What this node answers, if it does."""
        if self._on_question is None:
            return None
        try:
            said = self._on_question(question)
        except Exception:
            logger.exception("node %s could not answer a question of another node", self._node)
            return None
        return said if len(said) <= MAX_ANSWER_BYTES else None

    def _answer_no_more(self) -> None:
        self._on_question = None
