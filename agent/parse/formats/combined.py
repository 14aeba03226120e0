r"""Access logs of web servers: the common and combined formats of Apache, nginx, lighttpd, Traefik and Caddy's text.

`[VHOST ]CLIENT IDENT USER [INSTANT] "METHOD TARGET HTTP/VERSION" STATUS SIZE[ "REFERER"[ "USER AGENT"]][ …]`

What follows the user agent is a server's own: `name=value`, a client behind a proxy, and how long the request took,
where it is written so that its unit is plain (`0.012` are seconds, `12ms` says so; a mere integer may be either).
https://httpd.apache.org/docs/2.4/logs.html#accesslog https://nginx.org/en/docs/http/ngx_http_log_module.html

The pattern does not reach over the end of a line, so that it also finds all lines of a chunk at once, with `^` before
it, `$` behind it and MULTILINE.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from agent.core.event import ERROR, INFO, WARN
from agent.core.patterns import lazy
from agent.parse.formats import Head, TextFormat
from agent.parse.instants.timestamps import CLF, ISO

if TYPE_CHECKING:
    from typing import Any

_INSIDE = r'([^"\\\n]*+(?:\\.[^"\\\n]*+)*+)'
_QUOTED = f'"{_INSIDE}"'
_LINE = lazy(
    r"(?:([^\s\[\]\"]{1,255}+) (?=[^\s.:]{0,255}+[.:]))?"  # a virtual host, where an address or a name comes next
    r"([^\s\"]{1,255}+)(?: (\S{1,255}+) ([^\[\]\n]{1,255}))? "  # a user's name may have blanks
    rf"\[({CLF}|{ISO})\] "
    r'"(?:([A-Z][A-Z_-]{0,31}+) (/[^\s"?\\]*+)(?:\?([^\s"\\]*+))? HTTP/(\d(?:\.\d)?)"'
    rf'|{_INSIDE}") '
    rf"(\d{{3}}|-) (\d{{1,18}}|-)(?: {_QUOTED}(?: {_QUOTED})?)?(?: (.*))?",
    re.ASCII,  # a digit of another script would be another text in the record
)
_ESCAPE = lazy(r'\\(["\\])|\\x22')  # Apache writes a quote as `\"`, nginx as `\x22`
_METHOD = lazy(r"([A-Za-z][A-Za-z_-]{0,31}) +(\S.*)")
_VERSION = lazy(r"\d(?:\.\d)?")
_ABSOLUTE = lazy(r"[A-Za-z][\w+.-]{0,31}://[^/?]*([^?]*)(?:\?(.*))?")
_AUTHORITY = lazy(r"(\[[^\]]*\]|[^/?:]+):(\d{1,5})", re.ASCII)
_FIRST_QUOTED = lazy(rf"{_QUOTED}(?: (.*))?")
_NAME = lazy(r"[A-Za-z_][\w.-]{0,63}")
_PART = lazy(rf'(?<!\S)(?:([A-Za-z_][\w.-]{{0,63}})=(?:{_QUOTED}|(\S*+))|"?(\d++(?:\.\d++|[mu]?s))"?(?!\S))', re.ASCII)
_MOST_PARTS = 32  # that are looked at behind the user agent
_DURATION, _UPSTREAM_DURATION = "http.server.request.duration", "http.client.request.duration"
_UNITS = {"ms": 1e-3, "us": 1e-6, "s": 1.0}
_OF_DURATION = ("rt", "request_time")
LEVELS = {"4": WARN, "-": INFO, "0": INFO, "1": INFO, "2": INFO, "3": INFO}  # by the first digit of the status
_NOTHING = ("-", "", '""', None)


def find(line: str) -> Head | None:  # noqa: C901, PLR0912 - a branch for each part; calls would take as long again
    """The head of a line of an access log: its message is `METHOD PATH STATUS`."""
    if '] "' not in line:
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    host, client, ident, user, instant, method, path, query, version, other, status, size, referer, agent, rest = (
        match.groups()
    )
    fields: dict[str, Any] = {}
    if client != "-":
        fields["client.address"] = client
    if user not in _NOTHING:
        fields["user.name"] = user
    if other is None:
        fields["http.request.method"] = method
        fields["url.path"] = message = path
        if query:
            fields["url.query"] = query
        fields["network.protocol.version"] = version
        message = f"{method} {path} {status}"
    else:
        message = f"{_read_request(other, fields)} {status}"
    if status != "-":
        fields["http.response.status_code"] = int(status)
    if size != "-":
        fields["http.response.body.size"] = int(size)
    if referer not in _NOTHING:
        fields["http.request.header.referer"] = referer if "\\" not in referer else _unescaped(referer)
    if agent not in _NOTHING:
        fields["user_agent.original"] = agent if "\\" not in agent else _unescaped(agent)
    if host is not None:
        _name_server(host, fields)
    if ident not in _NOTHING:  # lighttpd has the virtual host here
        fields["server.address" if "." in ident and host is None else "client.ident"] = ident
    if rest:
        _read_rest(rest, fields)
    return Head(instant, None, LEVELS.get(status[0], ERROR), None, len(line), message, fields)


def _read_request(request: str, fields: dict[str, Any]) -> str:
    """Read a request that is not as most are: an absolute target, one with blanks, none at all; the beginning of the
    message.
    """
    request = _unescaped(request)
    match = _METHOD.fullmatch(request)
    if match is None:
        return request or "-"
    method, target = match.groups()
    before, found, version = target.rpartition(" HTTP/")
    if found and _VERSION.fullmatch(version):
        fields["network.protocol.version"] = version
        target = before.rstrip(" ")
    elif not target.startswith(("/", "*")) and "://" not in target:
        return request  # words, and no request
    fields["http.request.method"] = method
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        fields["url.full"] = target
        path, query = absolute[1] or "/", absolute[2]
    elif target.startswith("/"):
        path, _, query = target.partition("?")
    else:
        authority = _AUTHORITY.fullmatch(target)
        if authority is not None:
            fields["server.address"], fields["server.port"] = authority[1], int(authority[2])
        return f"{method} {target}"
    fields["url.path"] = path
    if query:
        fields["url.query"] = query
    return f"{method} {path}"


def _name_server(host: str, fields: dict[str, Any]) -> None:
    """Note the virtual host `NAME` or `NAME:PORT`."""
    name, _, port = host.rpartition(":")
    if name and len(port) <= len("65535") and port.isascii() and port.isdigit():
        fields["server.address"], fields["server.port"] = name, int(port)
    else:
        fields["server.address"] = host


def _read_rest(rest: str, fields: dict[str, Any]) -> None:
    """Note what a server writes behind the user agent, as far as it says what it is."""
    if rest[0] == '"' and (match := _FIRST_QUOTED.match(rest)) is not None:
        text, rest = match[1], match[2] or ""
        if text not in _NOTHING and not _note_duration(text, fields):
            fields["http.request.header.x-forwarded-for"] = _unescaped(text)  # nginx: as in its own configuration
    if '"' in rest:
        _read_parts(rest, fields)
        return
    for part in rest.split(None, _MOST_PARTS)[:_MOST_PARTS]:  # a third of the time of looking for them
        name, equals, value = part.partition("=")
        if not equals:
            _note_duration(part, fields)
        elif _NAME.fullmatch(name):
            _note_named(name, value, fields)


def _read_parts(rest: str, fields: dict[str, Any]) -> None:
    """The same for values that stand in quotes."""
    for match in islice(_PART.finditer(rest), _MOST_PARTS):
        name, quoted, plain, duration = match.groups()
        if duration is not None:
            _note_duration(duration, fields)
        elif name is not None:
            _note_named(name, plain if quoted is None else _unescaped(quoted), fields)


def _note_named(name: str, value: str, fields: dict[str, Any]) -> None:
    fields.setdefault(name, value)
    if name in _OF_DURATION:
        _note_duration(value, fields)


_SECONDS = lazy(r"(\d{1,9}\.\d{1,9})|(\d{1,12})(ms|us|s)", re.ASCII)


def _note_duration(text: str, fields: dict[str, Any]) -> bool:
    """Note a duration in seconds: the first is the request's, the second that of the server behind."""
    match = _SECONDS.fullmatch(text) if text[:1].isdigit() else None
    if match is None:
        return False
    name = _UPSTREAM_DURATION if _DURATION in fields else _DURATION
    fields.setdefault(name, float(match[1]) if match[1] else round(int(match[2]) * _UNITS[match[3]], 6))
    return True


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: found[1] or '"', text) if "\\" in text else text


FORMAT = TextFormat("", find)
