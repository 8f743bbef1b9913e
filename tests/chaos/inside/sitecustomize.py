"""Read by the server's interpreter as it starts, on behalf of the harness.

The process ends with the harness, however that ends. `time.time` is shifted by what a small file says: one
little-endian double, in seconds, which is mapped, so that a jump needs no cooperation of the server.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time

PR_SET_PDEATHSIG = 1

_path = os.environ.get("CHAOS_CLOCK")
if _path:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with open(_path, "rb") as _file:
        _shift = mmap.mmap(_file.fileno(), 8, access=mmap.ACCESS_READ)
    _true_time = time.time

    def _time() -> float:
        return _true_time() + struct.unpack_from("<d", _shift)[0]

    time.time = _time
