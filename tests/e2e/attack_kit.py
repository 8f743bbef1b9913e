"""Clients that do everything wrong. A program of its own, so that it takes no time from whoever looks on:

python attack_kit.py PORT SECONDS CLIENTS

It prints, as JSON, what became of each attack and how often.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import suppress
from itertools import cycle, islice

import ws_kit
from lost_kit import connected
from ws_kit import BINARY, CLOSE, CONT, PING, TEXT, RawSocket, frame

SOURCE = "127.0.0.2"
"""Where attacks come from: limits of strangers are by address, and the good ones' is another."""

MEBIBYTE = 1 << 20


def call(**fields: object) -> bytes:
    return frame(TEXT, json.dumps({"id": 1} | fields).encode())


def bomb() -> bytes:
    """A hundred mebibytes of nothing, as permessage-deflate would have it."""
    compressor = zlib.compressobj(9, wbits=-15)
    # After a full flush nothing refers to what was before, so the piece can be repeated.
    zeros = compressor.compress(bytes(MEBIBYTE)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return frame(TEXT, zeros * 100, rsv=4)


RIGHT = call(id="right", op="ping")
PUBLISH = call(op="publish", topic="junk", data="x")

ATTACKS: dict[str, tuple[bytes, ...]] = {
    "no JSON": (frame(TEXT, b"{"), frame(TEXT, b"nonsense")),
    "no object": (frame(TEXT, b"[]"), frame(TEXT, b"7")),
    "too deep": (frame(TEXT, b"[" * 500_000), frame(TEXT, b'{"id":' * 100_000)),
    "unknown op": (call(op="shout"),) * 20,
    "wrong types": (
        call(op="publish", topic=5, data=1),
        call(op="subscribe", topic="room", after=[]),
        call(op="attach", stream={}),
        call(op="create", model="replay", messages="hello"),
        call(op="presence", topic="../etc"),
    ),
    "binary": (frame(BINARY, b"\x81\xa2id\x01"),),
    "bad UTF-8": (frame(TEXT, b"\xc3\x28"),),
    "oversized": (frame(TEXT, bytes(MEBIBYTE + 1)),),
    "oversized in its head": (struct.pack("!BBQ", 0x81, 0xFF, 1 << 62) + b"mask",),
    "oversized in pieces": (frame(TEXT, b"x", fin=False), *(frame(CONT, b"x" * 65536, fin=False),) * 16),
    "bomb": (bomb(),),
    "reserved bits": (frame(TEXT, b"{}", rsv=3),),
    "reserved opcode": (frame(0x3),),
    "unmasked": (frame(TEXT, b"{}", mask=None),),
    "ping in pieces": (frame(PING, b"x", fin=False),),
    "large ping": (frame(PING, bytes(126)),),
    "continued nothing": (frame(CONT, b"x"),),
    "too many calls": (PUBLISH,) * 900,
    "pings": (frame(PING, b"x"),) * 2000,
    "empty pieces": (frame(TEXT, b"", fin=False), *(frame(CONT, b"", fin=False),) * 5000, frame(CONT)),
}


def outcome(port: int, pieces: tuple[bytes, ...]) -> str:
    """The errors that were answered, each once, and the code of the close.

    Who is not closed asks something that is right, and closes once that is answered.
    """
    sock = connected(port, ws_kit.request(target="/v1/ws"), b"\r\n\r\n", source=SOURCE)
    client = RawSocket(sock)
    errors: set[str] = set()
    code = "cut"
    try:
        client.send(b"".join(pieces) + RIGHT)
        while (said := client.read()) is not None and code == "cut":
            if said.opcode == CLOSE:
                code = str(int.from_bytes(said.payload, "big"))
            elif said.opcode == TEXT:
                message = json.loads(said.payload)
                if "error" in message:
                    errors.add(message["error"]["code"])
                # Also where it was one call too many: all of them share a limit.
                if message["id"] == "right":
                    client.send(ws_kit.close(1000))
    finally:
        client.close()
    return " ".join([*sorted(errors), code])


def attack(port: int, name: str, until: float, found: Counter[str]) -> None:
    while time.monotonic() < until:
        try:
            found[f"{name}: {outcome(port, ATTACKS[name])}"] += 1
        except OSError as error:
            found[f"{name}: {type(error).__name__}"] += 1


def never_read(port: int, until: float) -> None:
    """Asks for as long as it is let, and takes no answer."""
    with connected(port, ws_kit.request(target="/v1/ws"), b"\r\n\r\n", source=SOURCE) as sock:
        asked = call(op="ping") * 1000
        while (left := until - time.monotonic()) > 0:
            sock.settimeout(left)
            with suppress(OSError):
                sock.sendall(asked)


def main(port: int, seconds: float, clients: int) -> None:
    until = time.monotonic() + seconds
    found: Counter[str] = Counter()
    mute = clients // 10
    threads = [threading.Thread(target=never_read, args=(port, until)) for _ in range(mute)]
    names = islice(cycle(ATTACKS), clients - mute)
    threads += [threading.Thread(target=attack, args=(port, name, until, found)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
