"""Seeded, realistic JSON logs: about 300 bytes a line, nested fields, random ids, 2 % errors with stack traces.

The same seed gives the same bytes. Lines are put together from encoded pieces instead of by `json.dumps`, which costs
3 µs more per line; a test holds them to be the JSON that they look like.

    python -m benchmarks.generate 1000000 big.log [--seed 1] [--errors 0.02]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_START_NS = 1_790_000_000_000_000_000  # 2026-09-21T14:13:20Z
GAP_MICROSECONDS = 1_000  # mean: 1,000 events a second
BLOCK_LINES = 4_000  # lines handed out together

LOGGERS = (
    "shop.cart",
    "shop.payment",
    "shop.http",
    "shop.auth",
    "shop.search",
    "shop.mail",
    "shop.stock",
    "shop.admin",
)
CITIES = ("Lyon", "Köln", "Kraków", "São Paulo", "大阪", "Reykjavík")
LEVELS = ("info",) * 86 + ("debug",) * 10 + ("warning",) * 4
MESSAGES = (
    "request handled for user %d",
    "cart updated with %d items",
    "session refreshed after %d s",
    "cache filled with %d entries",
    "search for “blue kettle” gave %d results",
    "mail queued, %d waiting",
)
EXCEPTIONS = (
    ("ValueError", "card %d was refused"),
    ("KeyError", "'product-%d'"),
    ("ConnectionResetError", "[Errno 104] Connection reset by peer after %d ms"),
    ("TimeoutError", "no answer within %d ms"),
    ("ZeroDivisionError", "division by zero (basket %d)"),
)


def _pool() -> list[tuple[str, str]]:
    """Middle parts of ordinary lines, each as (before the number in the message, after it up to the ids)."""
    parts = []
    for level in LEVELS:
        for logger in LOGGERS:
            for message in MESSAGES:
                before, after = message.split("%d")
                head = json.dumps(before, ensure_ascii=False)[1:-1]
                tail = json.dumps(after, ensure_ascii=False)[1:-1]
                parts.append((f'Z","level":"{level}","logger":"{logger}","event":"{head}', f'{tail}","request_id":"'))
    return parts


def _traces() -> list[tuple[str, str]]:
    """Middle and end of error lines; the stack trace is inside the end, with one %d in it."""
    result = []
    for depth in range(2, 7):
        for logger in LOGGERS:
            module = logger.split(".")[1]
            for name, message in EXCEPTIONS:
                frames = "".join(
                    f'  File "/srv/shop/{module}/step{step}.py", line {31 + 7 * step}, in {module}_{step}\n'
                    f"    return self.{module}_{step + 1}(order, retries={step})\n"
                    for step in range(depth)
                )
                trace = f"Traceback (most recent call last):\n{frames}{name}: {message}"
                middle = f'Z","level":"error","logger":"{logger}","event":"{module} failed","request_id":"'
                result.append((middle, f',"exception":{json.dumps(trace, ensure_ascii=False)}}}\n'))
    return result


def blocks(count: int, *, seed: int = 1, errors: float = 0.02, start_ns: int = DEFAULT_START_NS) -> Iterator[bytes]:
    """Yield `count` lines in blocks of whole lines.

    Args:
        count: how many lines in all.
        seed: the same seed gives the same bytes.
        errors: the share of lines with severity error and a stack trace, 0 to 1.
        start_ns: the first event's time in nanoseconds since the epoch; later ones follow about 1 ms apart.
    """
    source = random.Random(seed)
    draw, bits = source.random, source.getrandbits
    ordinary, traces = _pool(), _traces()
    micros = start_ns // 1000
    second, prefix = -1, ""
    lines: list[str] = []
    for _ in range(count):
        micros += int(draw() * 2 * GAP_MICROSECONDS)
        now, fraction = divmod(micros, 1_000_000)
        if now != second:
            second, prefix = now, time.strftime('{"timestamp":"%Y-%m-%dT%H:%M:%S.', time.gmtime(now))
        identity = f"{bits(192):048x}"
        number = bits(17)
        if draw() < errors:
            before, after = traces[int(draw() * len(traces))]
            middle, end = before, after.replace("%d", str(number), 1)
        else:
            before, after = ordinary[int(draw() * len(ordinary))]
            middle = f"{before}{number}{after}"
            end = f',"city":"{CITIES[number % 6]}"}}\n' if number % 20 == 0 else "}\n"
        lines.append(
            f'{prefix}{fraction:06d}{middle}{identity[:16]}","trace_id":"{identity[16:]}","http":{{"method":"GET",'
            f'"path":"/api/v1/orders/{number}","status":{500 if middle is before else 200}}},'
            f'"user":{{"id":{number % 9973}}},"latency_ms":{number / 300:.2f}{end}'
        )
        if len(lines) == BLOCK_LINES:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


def write(path: Path, count: int, *, seed: int = 1, errors: float = 0.02, start_ns: int = DEFAULT_START_NS) -> int:
    """Write `count` lines to `path` and return the size in bytes."""
    with path.open("wb") as file:
        return sum(file.write(block) for block in blocks(count, seed=seed, errors=errors, start_ns=start_ns))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--errors", type=float, default=0.02)
    options = parser.parse_args()
    began = time.perf_counter()
    size = write(options.path, options.count, seed=options.seed, errors=options.errors)
    rate = options.count / (time.perf_counter() - began)
    print(f"{options.count:,} lines, {size:,} bytes, {size / options.count:.0f} a line, {rate:,.0f} lines/s")


if __name__ == "__main__":
    main()
