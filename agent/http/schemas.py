"""What answers and bodies of the API look like, as JSON Schema for its description (`openapi`).

https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from typing import Any

_Schema = dict[str, Any]

_TEXT: _Schema = {"type": "string"}
_MAYBE_TEXT: _Schema = {"type": ["string", "null"]}
_NUMBER: _Schema = {"type": "number"}
_MAYBE_NUMBER: _Schema = {"type": ["number", "null"]}
_INTEGER: _Schema = {"type": "integer"}
_MAYBE_INTEGER: _Schema = {"type": ["integer", "null"]}
_ANY_OBJECT: _Schema = {"type": "object"}
_INSTANT: _Schema = {"type": "string", "description": "RFC 3339, UTC, nanoseconds."}
_MAYBE_INSTANT: _Schema = {"type": ["string", "null"], "description": "RFC 3339, UTC, nanoseconds."}
_LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", None]


def _object(required: _Schema, optional: _Schema | None = None) -> _Schema:
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


def _list(item: _Schema) -> _Schema:
    return {"type": "array", "items": item}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_GROUP: _Schema = {
    "id": _INTEGER,
    "title": _TEXT,
    "culprit": _MAYBE_TEXT,
    "severity": _TEXT,
    "category": _TEXT,
    "state": {"type": "string", "enum": ["new", "ongoing", "regressed", "resolved", "ignored"]},
    "first_seen": _INSTANT,
    "last_seen": _INSTANT,
    "count": _INTEGER,
    "trend": {"type": ["array", "null"], "items": _INTEGER, "description": "Events an hour, the newest last."},
    "service": _MAYBE_TEXT,
    "exception_type": _MAYBE_TEXT,
    "ignored_until": _MAYBE_INSTANT,
    "ignored_events_left": _MAYBE_INTEGER,
}
_SIDE = _object({"since": _INSTANT, "until": _INSTANT, "query": _TEXT, "errors": _INTEGER})

COMPONENTS: dict[str, _Schema] = {
    "Error": _object({"code": {"type": "string", "pattern": r"^SL\d{3}$"}, "message": _TEXT, "hint": _TEXT}),
    "Event": _object(
        {
            "id": _INTEGER,
            "timestamp": _INSTANT,
            "observed_timestamp": _INSTANT,
            "severity_number": {"type": "integer", "minimum": 0, "maximum": 24},
            "severity_text": {"type": ["string", "null"], "enum": _LEVELS},
            "body": {"description": "The message."},
            "attributes": {"type": "object", "description": "Every other field of the line, nested as it was."},
            "resource": {"type": "object", "description": "`service.name`, `host.name`, labels."},
            "trace_id": _MAYBE_TEXT,
            "span_id": _MAYBE_TEXT,
            "source": _TEXT,
            "path": _TEXT,
            "offset": {"type": "integer", "description": "Of the line's start in its file, bytes."},
            "group": {"type": ["integer", "null"], "description": "The group of errors that it is of."},
        },
        {"parse_error": _TEXT},
    ),
    "Count": _object(
        {"count": _INTEGER},
        {
            "time": {
                "type": "string",
                "description": "Where a bucket begins. Fields and aggregates have their own names.",
            }
        },
    ),
    "Field": _object(
        {
            "field": _TEXT,
            "count": {"type": "integer", "description": "Events that have it."},
            "values": _list(_object({"value": {}, "count": _INTEGER})),
        }
    ),
    "Group": _object(_GROUP),
    "GroupDetail": _object(
        _GROUP
        | {
            "suggestion": _TEXT,
            "stacktrace": _MAYBE_TEXT,
            "samples": _list(_ref("Event")),
            "trend_days": _list(_INTEGER),
            "services": _list(_object({"service": _MAYBE_TEXT, "count": _INTEGER})),
            "trace_id": _MAYBE_TEXT,
            "trace_events": _list(_ref("Event")),
        }
    ),
    "Diff": _object(
        {
            "before": _SIDE,
            "after": _SIDE,
            "groups": _list(
                _object(
                    {
                        "id": _INTEGER,
                        "title": _TEXT,
                        "culprit": _MAYBE_TEXT,
                        "severity": _TEXT,
                        "state": _TEXT,
                        "service": _MAYBE_TEXT,
                        "first_seen": _INSTANT,
                        "change": {"type": "string", "enum": ["new", "changed", "gone", "same"]},
                        "before": _INTEGER,
                        "after": _INTEGER,
                        "ratio": _MAYBE_NUMBER,
                    }
                )
            ),
        }
    ),
    "Alert": _object(
        {
            "rule": _TEXT,
            "key": _ANY_OBJECT,
            "state": {"type": "string", "enum": ["ok", "pending", "firing"]},
            "value": _NUMBER,
            "threshold": _NUMBER,
            "since": _MAYBE_INSTANT,
            "silenced": {"type": ["object", "null"]},
            "severity": _MAYBE_TEXT,
            "quiet": _MAYBE_TEXT,
        }
    ),
    "AlertChange": _object(
        {"rule": _TEXT, "key": _TEXT, "state": _TEXT, "time": _INSTANT, "value": _NUMBER, "threshold": _NUMBER}
    ),
    "BackTest": _object(
        {
            "rule": _TEXT,
            "from": _INSTANT,
            "to": _INSTANT,
            "threshold": _MAYBE_NUMBER,
            "events": {"type": "integer", "description": "Those that match the rule."},
            "firing": _list(
                _object({"key": _ANY_OBJECT, "started_at": _INSTANT, "ended_at": _MAYBE_INSTANT, "value": _NUMBER})
            ),
            "by_threshold": _list(_object({"threshold": _NUMBER, "firings": _INTEGER})),
        },
        {
            "values": _list(
                _object({"time": _INSTANT, "key": _ANY_OBJECT, "value": _MAYBE_NUMBER, "state": _MAYBE_TEXT})
            )
        },
    ),
    "Delivery": _object(
        {
            "delivery_id": _TEXT,
            "rule": _TEXT,
            "hook": _TEXT,
            "state": {"type": "string", "enum": ["waiting", "delivered", "dead"]},
            "created": _INSTANT,
            "attempts": _INTEGER,
            "finished": _MAYBE_INSTANT,
            "result": _MAYBE_TEXT,
            "output": {"type": ["string", "null"], "description": "What the hook has said."},
        }
    ),
    "Status": _object(
        {
            "healthy": {"type": "boolean"},
            "problems": _list(_TEXT),
            "agent": _object(
                {"running": {"type": "boolean"}, "pid": _MAYBE_INTEGER, "started_at": _MAYBE_INSTANT, "version": {}}
            ),
            "files": _list(_ANY_OBJECT),
            "events": _ANY_OBJECT,
            "gaps": _list(_ANY_OBJECT),
            "store": _object({"path": _TEXT, "bytes": _INTEGER}),
            "archive": _object({"files": _INTEGER, "bytes": _INTEGER}),
            "alerts": _list(_ANY_OBJECT),
            "hooks": _list(_ANY_OBJECT),
            "errors": _list(_ANY_OBJECT),
        }
    ),
    "Archive": _object(
        {
            "path": _TEXT,
            "source": _TEXT,
            "log": _TEXT,
            "bytes": _INTEGER,
            "raw_bytes": _INTEGER,
            "lines": _INTEGER,
            "events": _INTEGER,
            "first": _MAYBE_INSTANT,
            "last": _MAYBE_INSTANT,
            "sha256": _TEXT,
        }
    ),
    "FileAudit": _object(
        {
            "file_id": _INTEGER,
            "path": _TEXT,
            "source": _TEXT,
            "state": _TEXT,
            "offset": _INTEGER,
            "events": _INTEGER,
            "event_bytes": _INTEGER,
            "blank_bytes": _INTEGER,
            "gap_bytes": _INTEGER,
            "gaps": _list(_object({"from": _INTEGER, "to": _INTEGER, "reason": _TEXT})),
            "difference": _INTEGER,
            "complete": {"type": "boolean"},
            "compared": _TEXT,
        }
    ),
}

# By the name of a question or a change; those that are not here answer with an object.
ANSWERS: dict[str, _Schema] = {
    "counts": _list(_ref("Count")),
    "fields": _list(_ref("Field")),
    "context": _list(_ref("Event")),
    "reasons": _list(_ref("Error")),
    "errors": _list(_ref("Group")),
    "diff": _ref("Diff"),
    "error": _ref("GroupDetail"),
    "alerts": _list(_ref("Alert")),
    "history": _list(_ref("AlertChange")),
    "alert_test": _ref("BackTest"),
    "deliveries": _list(_ref("Delivery")),
    "status": _ref("Status"),
    "archives": _list(_ref("Archive")),
    "audit": _list(_ref("FileAudit")),
    "change_groups": _object({"ids": _list(_INTEGER), "state": _TEXT, "ignored_until": _MAYBE_INSTANT}),
    "silence": _object({"rule": _TEXT, "until": _INSTANT, "author": _TEXT, "comment": _TEXT}),
    "redeliver": _object({"deliveries": {"type": "integer", "description": "So many are tried anew."}}),
    "unsilence": _object({"rule": _TEXT, "silenced": {"const": False}, "was_silenced": {"type": "boolean"}}),
}

_STATE: _Schema = {
    "state": {"type": "string", "enum": ["resolved", "ignored", "reopened"]},
    "until_count": {
        "type": ["integer", "null"],
        "minimum": 1,
        "maximum": 2**62 - 1,
        "description": "With `ignored`: until so many more events have come.",
    },
    "for": {"type": ["string", "null"], "description": "With `ignored`: until it comes back after this time, `12h`."},
}
_IDS: _Schema = {
    "ids": {
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        "minItems": 1,
        "maxItems": 1_000,
    }
}


def _body(required: list[str], properties: _Schema, example: _Schema) -> _Schema:
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
        "examples": [example],
    }


# By the address of a change: what its body is; those that are not here have none.
BODIES: dict[str, _Schema] = {
    "/errors/{id}": _body(["state"], _STATE, {"state": "ignored", "for": "12h"}),
    "/errors": _body(["state", "ids"], _STATE | _IDS, {"state": "resolved", "ids": [1, 2]}),
    "/silences": _body(
        ["rule", "for"],
        {
            "rule": _TEXT,
            "for": {"type": "string", "description": "A duration: `2h`."},
            "comment": _TEXT | {"maxLength": 1_000},
        },
        {"rule": "many-errors", "for": "2h", "comment": "the disk is being replaced"},
    ),
}
