"""Lines of three services: levels, traces, errors, and some that are hostile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.http.served import ServedBox

SERVICES = ("shop", "billing", "auth")
LEVELS = ("info", "info", "debug", "warn", "error")
TRACES = 7
HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[2J\x1b[31mred\u202eesrever",
    "'\"><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
    "a" * 5_000,
    "\ud800 lone",
)
_TRACE = """Traceback (most recent call last):
  File "/srv/shop/pay.py", line 8, in pay
    raise Declined
shop.Declined: card declined"""


def write_samples(box: ServedBox, count: int = 300) -> int:
    """Write `count` events of the last half hour and the hostile ones into logs; how many they are."""
    now = datetime.now(UTC) - timedelta(seconds=5)
    logs = {service: [] for service in SERVICES}
    for number in range(count):
        service, level = SERVICES[number % 3], LEVELS[number % 5]
        row = {
            "timestamp": (now - timedelta(seconds=6 * (count - number))).isoformat(),
            "level": level,
            "message": f"request {number} served" if level != "error" else "card declined",
            "service": service,
            "http": {"status": 500 if level == "error" else 200, "path": f"/orders/{number % 4}"},
            "duration_ms": number,
            "trace_id": f"{number % TRACES:032x}",
        }
        if level == "error":
            row["exc_info"] = _TRACE
        logs[service].append(json.dumps(row))
    logs["shop"] += [json.dumps({"timestamp": now.isoformat(), "level": "warn", "message": text}) for text in HOSTILE]
    for service, lines in logs.items():
        (box.logs / f"{service}.log").write_text("\n".join(lines) + "\n")
    return count + len(HOSTILE)
