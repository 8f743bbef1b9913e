"""A conversation with one of the models of a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from tidegate.client import Client, Detail, State, Stream, TidegateError
from tidegate.client.calls import new_key
from tidegate.client.terminal.answer import Answer
from tidegate.client.terminal.connection_note import ConnectionNote
from tidegate.client.terminal.conversation import Conversation
from tidegate.client.terminal.ctrl_c import first_stops
from tidegate.client.terminal.left_answer import LEAVE_SECONDS, LeftAnswer
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.waiting import Waiting
from tidegate.client.words import as_table
from tidegate.errors import StreamNotFound

FORGOTTEN = "the server has forgotten the answer: what is kept in memory only is gone after a restart"

REFUSALS = frozenset({429, 503})
"""The statuses of a server that has begun nothing yet."""


class Chat:
    """Asks questions, and shows the answers as they come.

    `client` tries for as long as it takes; `glance` gives up at once; `parting` tries for a while. `stopped` says
    whether Ctrl-C has ended the last answer.
    """

    def __init__(
        self,
        client: Client,
        glance: Client,
        parting: Client,
        screen: Screen,
        models: Sequence[str],
        model: str,
        clock: Callable[[], float],
    ) -> None:
        self.models = models
        self.model = model
        self.stopped = False
        self._client = client
        self._glance = glance
        self._parting = parting
        self._screen = screen
        self._clock = clock
        self._talk = Conversation()
        self._note = ConnectionNote(screen)
        self._stream: Stream | None = None
        self._left: LeftAnswer | None = None
        self._stopping: threading.Thread | None = None
        # Whether every try of the call that asks has failed so that nothing has begun; None before one has failed.
        self._is_unbegun: bool | None = None

    def ask(self, question: str) -> bool:
        """Shows the answer to a question, and keeps both; returns whether the answer has completed.

        The first Ctrl-C cancels the answer, and its end is waited for. A second one is a `KeyboardInterrupt`, and so is
        one while the server is away: the answer is left, and the server is told while nobody waits. Raises what the
        server refuses with.
        """
        answer, request, key = Answer(self._screen, self._clock), self._talk.request(question, self.model), new_key()
        self.stopped, self._stream, self._is_unbegun = False, None, None
        try:
            with first_stops(self._stop), Waiting(self._screen, self._waited_for, self._clock) as waiting:
                self._show(request, key, answer, waiting)
        except (KeyboardInterrupt, BrokenPipeError):
            # To ask again is to begin what was only refused so far, or has never arrived.
            if self._stream or not self._is_unbegun:
                self._left = LeftAnswer(self._parting, request, key, self._stream.id if self._stream else "")
            raise
        finally:
            self._stream = None
            self._screen.end_line()
            self._talk.keep(question, answer.text)
        return answer.completed

    def leave(self) -> bool:
        """Waits for a moment for the end of what was stopped or left; whether nothing that was left goes on."""
        if self._left is not None:
            self._left.wait()
        if self._stopping is not None:
            # A thread that wakes up while the interpreter is taken down may crash it.
            self._stopping.join(LEAVE_SECONDS)
        return self._left is None or self._left.is_cancelled

    def begin_anew(self) -> None:
        """Forgets what was said."""
        self._talk.clear()

    def _show(self, request: dict[str, object], key: str, answer: Answer, waiting: Waiting) -> None:
        with self._client.start(request, key=key, on_state=self._told) as stream:
            self._stream = stream
            if self.stopped:
                self._cancel_soon()
            try:
                for event in stream:
                    self._note.held()
                    answer.show(event.type, as_table(event.data))
                    if answer.has_begun:
                        waiting.end()
            except StreamNotFound as error:
                raise StreamNotFound(FORGOTTEN) from error

    def _told(self, state: State, detail: Detail) -> None:
        if detail.error is not None:
            self._is_unbegun = self._is_unbegun is not False and _began_nothing(detail.error)
        self._note(state, detail)

    def _waited_for(self) -> str | None:
        stream = self._stream
        if stream is None or self._note.is_lost or self.stopped:
            return None
        try:
            place = self._glance.read(stream.id).get("queue_position")
        except TidegateError:
            return None
        return f"waiting for {self.model}" + (f", place {place} in its queue" if place is not None else "")

    def _stop(self) -> bool:
        """Has the answer cancelled, as soon as the server has said which it is; False where nobody would hear it."""
        self.stopped = True
        if self._note.is_lost:
            return False
        self._cancel_soon()
        return True

    def _cancel_soon(self) -> None:
        # Not by who was interrupted, perhaps in the middle of a line.
        self._stopping = threading.Thread(target=self._cancel, args=(self._stream,), daemon=True)
        self._stopping.start()

    def _cancel(self, stream: Stream | None) -> None:
        self._screen.note("stopping")
        if stream is None:
            return
        try:
            self._glance.cancel(stream.id)
        except TidegateError as error:
            if stream is self._stream:
                self._screen.say(f"the answer could not be stopped on the server: {error.message}")
            stream.close()


def _began_nothing(error: TidegateError) -> bool:
    return error.status in REFUSALS or isinstance(error.__cause__, ConnectionRefusedError)
