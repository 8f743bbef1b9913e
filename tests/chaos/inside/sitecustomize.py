"""Read by the server's interpreter as it starts: `time.time` is shifted by what a small file says.

The file has one little-endian double, in seconds, and is mapped: a jump needs no cooperation of the server.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

_path = os.environ.get("CHAOS_CLOCK")
if _path:
    with open(_path, "rb") as _file:
        _shift = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    _true_time = time.time

    def _time() -> float:
        return _true_time() + struct.unpack_from("<d", _shift)[0]

    time.time = _time
