r"""syslog as it lies in files: RFC 3164 and RFC 5424, with and without a priority, and with rsyslog's instants.

    <34>Nov 22 05:39:26 web1 sshd[663]: …                 RFC 3164, the year or a fraction of the second perhaps in it
    2026-11-22T05:39:26.123456+01:00 web1 sshd[663]: …    rsyslog's RSYSLOG_FileFormat; Heroku's without the host
    <165>1 2026-11-22T05:39:26Z web1 app 663 ID47 [a@1 k="v"] …    RFC 5424
    Nov 22 05:39:26: %ASA-4-106023: …                     Cisco's devices, which say severity and message id like this

The severity is that of the priority; without one that of a level with which the message begins (`error: …`), or of the
line of another format that the message is. Under `auto` a line without a priority needs a tag, for other texts begin
with an instant and a word too.
https://www.rfc-editor.org/rfc/rfc3164 https://www.rfc-editor.org/rfc/rfc5424

Each of the two patterns also finds all lines of a chunk at once, with `^` before it and MULTILINE.
"""

from __future__ import annotations

import re
from string import ascii_uppercase, digits
from typing import Any

from agent.core import severity
from agent.core.patterns import lazy
from agent.parse.formats import Head, TextFormat, combined, logfmt, text

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)
_SEVERITIES = tuple(severity.read(number) for number in range(8))
_BSD = r"[A-Z][a-z]{2} [ \d]?\d (?:\d{4} )?\d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_PID = r"(?:\[([^\[\]\s]{1,128})\])?"
_TAG = (
    r"[^\s\[\]:%][^\s\[\]:]{0,127}"
    r"|[^\s\[\]:][^\[\]:]{0,63}(?=\[\d{1,10}\]:)"  # with blanks only where a number follows
)
_AFTER_TAG = (
    r"(?:(?:(?<=syslogd)|(?<=klogd)) \d[\d.]{0,15})?"  # their version
    r"(?::(?=\s|\Z) ?| (?=\([^()\s]{1,255}\):))"  # macOS: `launchd[1] (com.apple.x): …`
)
_LINE = lazy(
    rf"(?:<(\d{{1,3}})>)?(?:\d{{1,10}}: )?[*.]?(?:({_BSD})|({_ISO}))(?: [A-Z]{{3,4}}(?=:))?:? "
    r"(?:(?!last message repeated )(\w[\w.:%-]{0,254}(?<=\w)) (?:: (?=%))?)?"  # the host: no tag, which a colon follows
    rf"(?: ?-- )?(?:({_TAG}){_PID}{_AFTER_TAG}|%(\w{{1,32}})-(\d)-(\w{{1,64}}): ?)?",
    re.ASCII,  # a digit of another script would be another text in the record
)
_BARE = lazy(rf"<(\d{{1,3}})>(?=[^\s\d])(?:([^\s\[\]:<>=]{{1,128}}){_PID}:(?=\s|\Z) ?)?", re.ASCII)
_PROTOCOL = lazy(
    r"<(\d{1,3})>\d{1,2} (\S{1,64}) (\S{1,255}) (\S{1,255}) (\S{1,128}) (\S{1,255}) (?:- ?|(?=\[))", re.ASCII
)
_ELEMENT = lazy(r'\[([^\s="\]]{1,128})((?: +[^\s="\]]{1,128}="[^"\\]*+(?:\\.[^"\\]*+)*+")*+) *\]')
_PARAMETER = lazy(r' ([^\s="\]]{1,128})="([^"\\]*+(?:\\.[^"\\]*+)*+)"')
_ESCAPE = lazy(r'\\(["\\\]])')
_BOM = "\ufeff"
_BOOT = lazy(r"\[ *(\d{1,9}\.\d{1,9})\] ", re.ASCII)
_REPEATED = ("last message repeated ", "message repeated ", "--- last message repeated ")
_LEVEL = lazy(
    r"(?:\[\d+(?:-\d+)?\] +)?"  # PostgreSQL counts its lines
    r"(?:\[([A-Za-z]{3,13})\]|<([A-Za-z]{3,13})>|([A-Za-z]{3,13}):(?!\S)|([A-Z]{4,13})(?=[ \t]))"
)
_REQUEST = lazy(r'"[A-Z]{3,10} [^"]{1,4000}" ([1-5])\d\d ')  # of a web server that logs by syslog
_LEVELS = {
    name: severity.read(name)
    for name in (
        *("trace", "debug", "info", "notice", "warn", "warning", "err", "error", "crit", "critical", "alert"),
        *("emerg", "emergency", "fatal", "panic", "severe"),
    )
}


def find(line: str) -> Head | None:
    """The head of a line."""
    return _find(line, sure=False)


def find_surely(line: str) -> Head | None:
    """The head of a line that is one of syslog's beyond doubt: it has a priority, or host and tag."""
    first = line[:1]
    if first.isdigit():
        if line[10:11] != "T":  # as most texts that begin with an instant have a blank there
            return None
    elif first != "<" and line[3:4] != " ":
        return None
    return _find(line, sure=True)


def _find(line: str, *, sure: bool) -> Head | None:
    match = _LINE.match(line)
    if match is None:
        return (_protocol(line) or _bare(line)) if line[:1] == "<" else None
    priority, bsd, iso, host, tag, pid, cisco, degree, mnemonic = match.groups()
    begin = match.end()
    if sure and priority is None and not _is_sure(line, match):
        return None
    fields: dict[str, Any] = {}
    if host is not None:
        fields["host.name"] = host
    if pid is not None:
        _name_process(pid, fields)
    number, level = 0, None
    if cisco is not None:
        number, tag, level = severity.read(int(degree)), cisco, degree
        fields["syslog.msgid"] = mnemonic
    if tag == "kernel":
        begin = _read_uptime(line, begin, fields)
    if priority is not None:
        number, level = _read_priority(priority, fields), None
    head = Head(bsd or iso, level, number, tag, begin, None, fields)
    if number == 0:
        _read_message(line, head)
    return head


def _is_sure(line: str, match: re.Match[str]) -> bool:
    host, tag, pid, cisco = match.group(4, 5, 6, 7)
    if host is not None and host.lower() in severity.NAMES:
        return False
    if cisco is not None:
        return True
    if match[3] is None:  # as BSD's instants are
        return tag is not None or line.startswith(_REPEATED, match.end())
    return tag is not None and (host is not None or pid is not None) and "T" in match[3] and match[3][-3:] > "+"


def _protocol(line: str) -> Head | None:
    """RFC 5424."""
    match = _PROTOCOL.match(line)
    if match is None:
        return None
    priority, instant, host, name, pid, message_id = match.groups()
    begin = match.end()
    fields: dict[str, Any] = {}
    number = _read_priority(priority, fields)
    if host != "-":
        fields["host.name"] = host
    if pid != "-":
        _name_process(pid, fields)
    if message_id != "-":
        fields["syslog.msgid"] = message_id
    if line.startswith("[", begin):
        data, begin = _structured_data(line, begin)
        if data:
            fields["syslog.structured_data"] = data
    if line.startswith(_BOM, begin):
        begin += 1
    written = instant if instant != "-" else None
    return Head(written, None, number, name if name != "-" else None, begin, None, fields)


def _bare(line: str) -> Head | None:
    """A priority and a message, as the kernel's own log has them."""
    match = _BARE.match(line)
    if match is None:
        return None
    fields: dict[str, Any] = {}
    number = _read_priority(match[1], fields)
    if match[3] is not None:
        _name_process(match[3], fields)
    return Head(None, None, number, match[2], _read_uptime(line, match.end(), fields), None, fields)


def _read_uptime(line: str, begin: int, fields: dict[str, Any]) -> int:
    """Note the seconds since the boot, which the kernel writes before its messages; where the message begins."""
    match = _BOOT.match(line, begin) if line.startswith("[", begin) else None
    if match is None:
        return begin
    fields["system.uptime"] = float(match[1])
    return match.end()


def _structured_data(line: str, begin: int) -> tuple[dict[str, Any], int]:
    """The elements that begin at a place, by their ids, and where the message begins. A parameter that an element has
    several times has a list of values. What is no element is the message.
    """
    found: dict[str, Any] = {}
    while (element := _ELEMENT.match(line, begin)) is not None:
        begin = element.end()
        parameters: dict[str, Any] = found.setdefault(element[1], {})
        for name, value in _PARAMETER.findall(element[2]):
            text_value = _ESCAPE.sub(r"\1", value) if "\\" in value else value
            if name not in parameters:
                parameters[name] = text_value
            elif type(parameters[name]) is list:
                parameters[name].append(text_value)
            else:
                parameters[name] = [parameters[name], text_value]
    return found, begin + line.startswith(" ", begin)


def _read_priority(written: str, fields: dict[str, Any]) -> int:
    """The severity of a priority, whose facility is noted where it has a name."""
    facility, number = divmod(int(written), 8)
    if facility < len(_FACILITIES):
        fields["syslog.facility"] = _FACILITIES[facility]
    return _SEVERITIES[number]


def _name_process(pid: str, fields: dict[str, Any]) -> None:
    if pid.isascii() and pid.isdigit() and len(pid) <= len("4194304000"):
        fields["process.pid"] = int(pid)
    else:
        fields["syslog.procid"] = pid  # as Heroku's `web.1`


def _read_message(line: str, head: Head) -> None:
    """Find the severity of a message by the level with which it begins, or by the format that its line has."""
    begin = head.end
    first = line[begin : begin + 1]
    if first.isdigit() and line[begin + 4 : begin + 5] in ("-", "/"):
        inner = text.FORMAT.find(line[begin:])
        if inner is not None and inner.severity:
            head.level, head.severity = inner.level, inner.severity
        return
    match = _LEVEL.match(line, begin)
    if match is not None and match.lastindex is not None:
        word = match[match.lastindex]
        number = _LEVELS.get(word.lower(), 0)
        if number:
            head.level, head.severity = word, number
            return
    if "=" in line[begin : begin + 16]:
        _read_pairs(line, head)
    elif "HTTP/" in line and (request := _REQUEST.search(line, begin)) is not None:
        head.severity = combined.LEVELS.get(request[1], severity.ERRORS_FROM)


def _read_pairs(line: str, head: Head) -> None:
    """See through a message that is logfmt: its level counts, and its pairs are fields."""
    inner = logfmt.find_surely(line[head.end :])
    if inner is None or head.attributes is None:
        return
    head.level, head.severity = inner.level, inner.severity
    used = {inner.keys[0], inner.keys[1]} if inner.severity else {inner.keys[0]}
    if inner.end:
        head.message = inner.message
        used.add(inner.keys[3])
    pairs = inner.attributes or {}
    head.attributes = {**{key: value for key, value in pairs.items() if key not in used}, **head.attributes}


FORMAT = TextFormat(ascii_uppercase + digits + "<", find, find_surely)
