"""A current ClickHouse that listens on loopback until it is ended: `clickhouse local` in the library of npm's package.

Its statement `SYSTEM START LISTEN` opens the handlers of the real server, HTTP and TCP.

usage: listening.py LIBRARY OPTION…
"""

import ctypes
import sys

# The handlers are there for as long as a statement runs: a year, in sleeps of a second.
_STATEMENTS = """
SYSTEM START LISTEN HTTP;
SYSTEM START LISTEN TCP;
SELECT sleepEachRow(1) FROM numbers(31536000)
SETTINGS max_block_size = 1, max_rows_to_read = 0, function_sleep_max_microseconds_per_block = 0 FORMAT Null
"""


class _Result(ctypes.Structure):
    _fields_ = (
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("vector", ctypes.c_void_p),
        ("elapsed", ctypes.c_double),
        ("rows", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("error", ctypes.c_char_p),
    )


def listen(library: str, options: list[str]) -> str:
    """Run until somebody ends the process; what the library said if it ends by itself."""
    run = ctypes.CDLL(library).query_stable_v2
    run.restype, run.argtypes = ctypes.POINTER(_Result), [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    words = [word.encode() for word in ("clickhouse", *options, f"--query={_STATEMENTS}")]
    return (run(len(words), (ctypes.c_char_p * len(words))(*words)).contents.error or b"nothing").decode()


if __name__ == "__main__":
    sys.exit(f"it ended by itself and said: {listen(sys.argv[1], sys.argv[2:])}")
