"""Reads the configuration again while the server runs, whenever it is asked to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from tidegate.config.changes import Changes
from tidegate.config.serve_source import ServeSource
from tidegate.config.settings import Settings
from tidegate.errors import ConfigError, TidegateError
from tidegate.streams.aside import aside

logger = logging.getLogger("tidegate.config")


class Reloads:
    """Has `take` take over what `source` reads, each time that `asked` is set. `take` raises `TidegateError` where it
    cannot, and has changed nothing then. Each time it happens within what `told` makes, which says so to others."""

    def __init__(
        self,
        source: ServeSource,
        asked: asyncio.Event,
        take: Callable[[Settings], Awaitable[Changes]],
        told: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._source = source
        self._asked = asked
        self._take = take
        self._told = told

    async def run(self) -> None:
        """Reloads for as long as it is not cancelled, one at a time: asked again meanwhile, it reads once more."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            with self._told():
                await self.reload()

    async def reload(self) -> None:
        """Reads everything again, and says in the log what has changed, or why nothing has. It begins and ends here."""
        try:
            # A disk or an upstream may take seconds.
            changes = await self._take(await aside(self._source.read))
        except TidegateError as error:
            located = self._source.located(error) if isinstance(error, ConfigError) else error
            logger.error("the configuration was read again, and nothing was changed: %s", located.message)
        except Exception:
            logger.exception("the configuration was read again, and nothing was changed")
        else:
            logger.info("the configuration was read again: %s", changes)
            if changes.ignored:
                logger.warning("what has changed here needs a restart: %s", ", ".join(changes.ignored))
