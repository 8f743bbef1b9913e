"""All that is measured, for scrapers."""

from __future__ import annotations

import asyncio

from tidegate.errors import NotFound
from tidegate.routes.call import Call


async def metrics(call: Call) -> None:
    """Answers in OpenMetrics where `accept` asks for it, else in Prometheus' text format."""
    scrape = call.context.scrape
    if scrape is None:
        raise NotFound("this server shows no metrics: observability.metrics is false")
    series = await scrape()
    # Imported on first use, since many servers are never scraped.
    from tidegate.observe.metrics.exposition import exposed

    # In a thread: the text takes some milliseconds, and tokens do not wait for it.
    text, content_type = await asyncio.to_thread(exposed, series, call.header(b"accept") or "")
    await call.answer(text, content_type)
