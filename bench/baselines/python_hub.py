"""One stream to many readers, as it is usually written in Python: a queue for each reader, under uvicorn.

python python_hub.py fastapi|sse-starlette RATE SIZE
"""

import asyncio
import contextlib
import socket
import sys
import time

import uvicorn
from fastapi import FastAPI

framework, rate, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
readers: set[asyncio.Queue[tuple[int, str]]] = set()


@contextlib.asynccontextmanager
async def lifespan(_app: FastAPI):
    async def tick() -> None:
        began, count, padding = time.monotonic(), 0, "x" * size
        while True:
            count += 1
            await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
            event = count, f'{{"text":"@{time.time_ns()};{padding}"}}'
            for queue in readers:
                queue.put_nowait(event)

    ticking = asyncio.create_task(tick())
    port = listening.getsockname()[1]
    sys.stdout.write(f"listening on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    yield
    ticking.cancel()


app = FastAPI(lifespan=lifespan)


@contextlib.contextmanager
def joined():
    queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    readers.add(queue)
    try:
        yield queue
    finally:
        readers.discard(queue)


if framework == "sse-starlette":
    from sse_starlette import EventSourceResponse, ServerSentEvent

    async def objects():
        with joined() as queue:
            while True:
                count, data = await queue.get()
                yield ServerSentEvent(data, event="delta", id=f"aaaa-{count}", sep="\n")

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(objects())

else:
    from fastapi.responses import StreamingResponse

    async def texts():
        with joined() as queue:
            while True:
                count, data = await queue.get()
                yield f"id: aaaa-{count}\nevent: delta\ndata: {data}\n\n"

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(texts(), media_type="text/event-stream")


listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="error")
uvicorn.Server(config).run(sockets=[listening])
