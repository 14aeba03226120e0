"""The document that a hook gets when a person tries it."""

from __future__ import annotations

import secrets
import socket
import time
from typing import Any

from agent.alerting.document import VERSION
from agent.query.fragments import encode
from agent.query.times import format_utc

_NS = 1_000_000_000


def example(hook: str) -> str:
    """A whole document with made-up content, as JSON text; its delivery id is used once."""
    now = time.time_ns()
    event: dict[str, Any] = {
        "id": 1,
        "timestamp": format_utc(now),
        "observed_timestamp": format_utc(now),
        "severity_number": 17,
        "severity_text": "ERROR",
        "body": f"this is a test of the hook {hook}",
        "attributes": {},
        "resource": {"host.name": socket.gethostname()},
        "trace_id": None,
        "span_id": None,
        "source": "test",
        "path": "/var/log/test.log",
        "offset": 0,
        "group": 1,
    }
    group = {
        "id": 1,
        "title": event["body"],
        "culprit": None,
        "severity": "ERROR",
        "category": "unknown",
        "state": "new",
        "first_seen": format_utc(now),
        "last_seen": format_utc(now),
        "count": 1,
    }
    return encode(
        {
            "version": VERSION,
            "delivery_id": f"test-{secrets.token_hex(8)}",
            "rule": "test",
            "state": "firing",
            "severity": "info",
            "key": {},
            "value": 1,
            "threshold": 1,
            "window": "5m",
            "started_at": format_utc(now),
            "ended_at": None,
            "summary": f"test: this is a test of the hook {hook}",
            "groups": [group],
            "events": [event],
            "host": socket.gethostname(),
            "query": f"sidelog query --since {format_utc(now - 300 * _NS)}",
        }
    ).decode()
