"""A shop whose new release breaks something: lines of three services on three hosts, and rules that watch them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.http.samples import HOSTILE

if TYPE_CHECKING:
    from tests.http.served import ServedBox

SERVICES = ("shop", "billing", "auth")
MINUTES = 40
RELEASE = 15  # minutes ago, of version 2.4.1 of the shop
BROKEN = "shop.gateway.Declined: card declined: 05"
TRACE_ID = f"{0xABC:032x}"
TRACE = """Traceback (most recent call last):
  File "/srv/shop/app.py", line 12, in charge
    gateway.pay(card)
  File "/usr/lib/python3/dist-packages/requests/api.py", line 59, in request
    return session.request(method=method, url=url, **kwargs)
  File "/usr/lib/python3/dist-packages/requests/sessions.py", line 589, in request
    resp = self.send(prep, **send_kwargs)
  File "/srv/shop/gateway.py", line 88, in pay
    raise Declined("card declined: 05")
shop.gateway.Declined: card declined: 05"""
ALERTS = {
    "hooks": {
        "pager": {"exec": ["/bin/sh", "-c", "echo it was told"]},
        "broken": {"exec": ["/bin/sh", "-c", "echo '<b>no way</b>'; exit 3"], "retries": 0},
    },
    "alerts": [
        {"name": "many-errors", "match": "severity>=error", "when": {"count": 10}, "window": "10m", "hooks": ["pager"]},
        {"name": "declined", "match": "charge failed", "when": {"count": 1}, "window": "1h", "hooks": ["broken"]},
        {"name": "share", "match": "severity>=error", "when": {"ratio": "90%"}, "window": "5m"},
        {"name": "news", "match": "severity>=error", "when": {"new_group": True}},
        {"name": "quiet", "match": "service=auth", "when": {"absent": True}, "window": "10m"},
    ],
}


def write_release(box: ServedBox, groups: int = 5) -> int:
    """Write the lines into logs; how many there are.

    Args:
        box: whose logs.
        groups: so many more groups of errors than the broken release has.
    """
    now = datetime.now(UTC) - timedelta(seconds=5)
    logs: dict[str, list[str]] = {service: [] for service in SERVICES}

    def add(service: str, ago_s: float, level: str, message: str, **more: object) -> None:
        row = {"timestamp": (now - timedelta(seconds=ago_s)).isoformat(), "level": level, "message": message}
        logs[service].append(json.dumps(row | {"service": service} | more))

    count = MINUTES * 12
    for number in range(count):  # one every five seconds
        ago_s, service = 5.0 * (count - number), SERVICES[number % 3]
        is_new = service == "shop" and ago_s < RELEASE * 60
        version = "2.4.1" if is_new else "2.4.0"
        add(service, ago_s, "info", f"order {number} placed", version=version, host={"name": f"web-{number % 2 + 1}"})
        if is_new and number % 2:
            more = {"version": version, "host": {"name": "web-3"}, "exc_info": TRACE, "trace_id": f"{number:032x}"}
            add("shop", ago_s - 1, "error", "charge failed", **more)
    for step, (service, level) in enumerate(
        (("auth", "info"), ("billing", "warn"), ("shop", "error"), ("auth", "info"))
    ):
        add(service, 60 - step * step * 0.4, level, f"step {step}", trace_id=TRACE_ID)
    for number in range(groups):
        frame = f'  File "/srv/billing/m{number}.py", line 8, in f{number}\n    x\n'
        said = HOSTILE[number % len(HOSTILE)] if number < len(HOSTILE) else f"upstream {number} is gone"
        trace = f"Traceback (most recent call last):\n{frame}Bad{number}: {said}"
        add("billing", 300 - number * 0.1, "error", "failed", exc_info=trace)
    for service, lines in logs.items():
        lines.sort(key=lambda line: json.loads(line)["timestamp"])
        (box.logs / f"{service}.log").write_text("\n".join(lines) + "\n")
    return sum(map(len, logs.values()))


def serve_release(box: ServedBox, groups: int = 5) -> ServedBox:
    """A box that serves it, with its rules; when the events are stored."""
    box.configure(more=ALERTS)
    count = write_release(box, groups)
    box.serve()
    box.stored(count)
    return box


def group_of(box: ServedBox, title: str) -> int:
    """The id of the group with a title."""
    [[number]] = box.sql("SELECT id FROM error_groups WHERE title = ?", title)
    return number
