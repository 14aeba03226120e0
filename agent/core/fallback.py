"""What a record says that has no level or no message of its own: the status of a request, its error, its other fields.

All of it is found at a few known names, so that two records that say the same give the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class _Names:
    """Names that mean the same, in the order in which they count. One with dots may be a key, or a path of keys.

    Args:
        text: the names, with blanks between them.
    """

    def __init__(self, text: str) -> None:
        self._names = _words(text)
        self.first = frozenset({*self._names, *(name.partition(".")[0] for name in self._names)})
        self._in: dict[tuple[str, ...], list[tuple[str, ...]]] = {}

    def paths(self, keys: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Where a record with these top-level keys may have a value; as a log's lines have few sets of keys, they are
        remembered: 0.3 µs instead of 3.
        """
        found = self._in.get(keys)
        if found is None:
            present = self.first.intersection(keys)
            parts = [(name, tuple(name.split("."))) for name in self._names]
            found = [
                path for name, several in parts for path in dict.fromkeys(((name,), several)) if path[0] in present
            ]
            if len(self._in) >= _MOST_SHAPES:
                self._in.clear()
            if len(keys) <= _MOST_KEYS:
                self._in[keys] = found
        return found


_MOST_SHAPES, _MOST_KEYS = 64, 100
_METHODS = frozenset(_words("GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PROPFIND"))
_METHOD_NAMES = _Names(
    "method request_method requestMethod http_method RequestMethod verb http.request.method http.method"
    " httpRequest.requestMethod req.method request.method"
)
_TARGET_NAMES = _Names(
    "path uri url request_uri request_path requestUri RequestPath url.path url.original http.target http.url"
    " httpRequest.requestUrl req.url request.uri request.path request.url"
)
_STATUS_NAMES = _Names(
    "status status_code statusCode response_code response_status DownstreamStatus OriginStatus"
    " http.response.status_code http.status_code httpRequest.status res.statusCode response.status"
)
_LINE_NAMES = _Names("request request_line")  # `GET / HTTP/1.1`
_ERROR_NAMES = _Names(
    "error err error_message errorMessage error.message err.message error_description exception exception.message"
    " reason cause detail description title status.message protoPayload.status.message resultDescription"
)
_EVENT_NAMES = _Names(
    "event_name eventName event.name event.action event_type eventType operationName operation_name methodName"
    " protoPayload.methodName"
)
_LAMBDA = frozenset({"time", "type", "record"})  # AWS: `platform.start` and its like, whose record is an object
_TYPE_NAMES = _Names("type")
_KLOG = frozenset({"ts", "caller", "msg"})  # https://github.com/kubernetes/component-base/tree/master/logs/json
_MOST_CHARS = 300
_MOST_PAIRS = 8
_VALUE_CHARS = 60
_SERVER_ERROR, _CLIENT_ERROR, _LOWEST, _HIGHEST = 500, 400, 100, 599
_KLOG_DEBUG = 4  # of Kubernetes' verbosities: https://github.com/kubernetes/community (logging conventions)
_UNSAID = frozenset(  # tells no error from another
    _words("hostname host host.name pid process.pid v version @version ecs.version log.iostream")
    + _words("syslog.facility syslog.procid")
)

# A record with none of these at its top level has no level that could be derived.
DERIVING = _STATUS_NAMES.first | {"v", "err"}


def derived_severity(record: dict[str, Any]) -> int:
    """The severity of a record that names none: of a request by its status, of Kubernetes' klog by its verbosity and
    error; 0 where nothing tells.
    """
    if DERIVING.isdisjoint(record):
        return 0
    if record.keys() >= _KLOG:
        if record.get("err") is not None:
            return 17
        verbosity = record.get("v")
        if type(verbosity) is int:
            return 9 if verbosity < _KLOG_DEBUG else 5
    status = _status(record)
    if status is None or not any(_text(record, names) for names in (_METHOD_NAMES, _TARGET_NAMES, _LINE_NAMES)):
        return 0
    return 17 if status >= _SERVER_ERROR else 13 if status >= _CLIENT_ERROR else 9


def message_of(record: dict[str, Any], unsaid: Collection[str]) -> str:
    """What stands for the message of a record that has none: what went wrong, the request, what happened, or else its
    fields as `key=value`; empty where there is nothing.

    Args:
        record: decoded.
        unsaid: top-level keys that are no part of it: those of instant, level and so on.
    """
    text = _text(record, _ERROR_NAMES) or _request(record) or _text(record, _EVENT_NAMES)
    if text is None and record.keys() == _LAMBDA:
        text = _text(record, _TYPE_NAMES)
    if text is None:
        text = " ".join(_pairs(record, unsaid))
    return text[:_MOST_CHARS]


def may_be_composed(message: str) -> bool:
    """Whether no record needs to hold this text, or one that begins with it, to have it as its message."""
    return "=" in message or "\n" in message or message.partition(" ")[0].upper() in _METHODS


def _request(record: dict[str, Any]) -> str | None:
    method, target = _text(record, _METHOD_NAMES), _text(record, _TARGET_NAMES)
    if method is None or target is None or method.upper() not in _METHODS:
        line = _text(record, _LINE_NAMES)
        return line if line is not None and line.partition(" ")[0] in _METHODS else None
    status = _status(record)
    return f"{method} {target}" if status is None else f"{method} {target} {status}"


def _status(record: dict[str, Any]) -> int | None:
    for value in _values(record, _STATUS_NAMES):
        if type(value) is str and len(value) == 3 and value.isascii() and value.isdigit():  # noqa: PLR2004
            value = int(value)  # noqa: PLW2901
        if type(value) is int and _LOWEST <= value <= _HIGHEST:
            return value
    return None


def _text(record: dict[str, Any], names: _Names) -> str | None:
    """The first line of the first text that there is under one of the names."""
    for value in _values(record, names):
        if type(value) is str and (text := value.strip()):
            return text.partition("\n")[0]
    return None


def _values(record: dict[str, Any], names: _Names) -> Iterable[Any]:
    for path in names.paths(tuple(record)):
        value: Any = record
        for key in path:
            value = value.get(key) if type(value) is dict else None
        if value is not None:
            yield value


def _pairs(record: dict[str, Any], unsaid: Collection[str]) -> list[str]:
    found: list[str] = []
    for key, value in record.items():
        if key in unsaid or key in _UNSAID or key.startswith("__"):  # journald's own, of the place in the journal
            continue
        inner = value.items() if type(value) is dict else (("", value),)
        for name, one in inner:
            if type(one) in (str, int, float, bool) and one != "":
                found.append(f"{key}.{name}={one!s:.{_VALUE_CHARS}}" if name else f"{key}={one!s:.{_VALUE_CHARS}}")
            if len(found) >= _MOST_PAIRS:
                return found
    return found
