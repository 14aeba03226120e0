"""How runtimes write an error that ends a program or a request: PHP, Rust, Elixir, Erlang, Dart, Swift, Lua and C++.

For each: how its first line begins, which lines without an indent go on with it, and what is its type and message.
Python, Java, .NET, Node, Go and Ruby, whose traces say more by their lines, are in `parse.multiline`; the frames of all
are read in the room `group`. Every pattern is tried at a line's beginning and takes time linear in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from agent.core.patterns import lazy

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

Said = tuple[str | None, str | None]  # type and message of an exception


class Runtime(NamedTuple):
    """A language whose traces are known by how their lines begin.

    Attributes:
        said: type and message, from the trace's lines.
        goes_on: a line without an indent that belongs to a trace of it; None: each that has no head.
        after_blank: it may do so after blank lines.
        message_below: what is said stands in the line below one that ends with a colon.
    """

    said: Callable[[list[str]], Said]
    goes_on: re.Pattern[str] | None
    after_blank: bool = False
    message_below: bool = False


_PHP = (
    r'(?:FastCGI sent in stderr: ")?(?:PHP message: )?PHP (?:Fatal|Parse|Recoverable fatal) error: '
    r"|Fatal error: +Uncaught |Uncaught [A-Za-z_\\][\w\\]*(?=.*:\d+$)(?:: .*)? in \S"
)
_RUST = r"(?:panic: )?thread (?:'[^'\n]{0,200}'|<unnamed>)(?: \(\d+\))? panicked at "
_ELIXIR = r"\*\* \((?:[A-Z][\w.]*|exit|throw|stop|EXIT[^)\n]*)\) ?"
_ERLANG = r"=(?:CRASH|ERROR|SUPERVISOR) REPORT==== |\*\* (?:Generic server|State machine|gen_event handler) "
_DART = r"(?:\[ERROR:flutter/[^\]\n]{1,200}\] )?Unhandled [Ee]xception:(?: |$)"
_FLUTTER = r"══+╡ EXCEPTION CAUGHT BY "
_SWIFT = (
    r"(?:[^\s:]{1,200}\.swift:\d+: )?Fatal error: (?!Uncaught )|(?:\*\*\*|💣) Program crashed: "
    r"|\*\*\* Terminating app due to uncaught exception '"
)
_LUA = r"lua[\w.]{0,9}: \S+?:\d+: "
_CPP = r"terminate called after throwing an instance of '"
_OPENS = lazy(
    rf"(?P<php>{_PHP})|(?P<rust>{_RUST})|(?P<elixir>{_ELIXIR})|(?P<erlang>{_ERLANG})|(?P<dart>{_DART})"
    rf"|(?P<flutter>{_FLUTTER})|(?P<swift>{_SWIFT})|(?P<lua>{_LUA})|(?P<cpp>{_CPP})"
)
# How the first lines of all of these begin, but for Swift's below a place, which holds `Fatal error: `.
BEGINNINGS = (
    "PHP ", "FastCGI sent in stderr", "Fatal error: ", "Uncaught ", "Unhandled ", "**", "thread ", "panic: thread ",
    "terminate called ",
    "=CRASH ", "=ERROR ", "=SUPERVISOR ", "══", "lua", "[ERROR:flutter/", "💣 ",
)  # fmt: skip
# Lines that open a trace below the line of a log that says what it is of: the trace is of that line on.
_BELOW = lazy(
    r"(?P<php>Stack trace:$|\[stacktrace\]$|#0 (?:\{main\}|\[internal function\]|\S.*\(\d+\): ))|(?P<dart>#0 {2,}\S)"
    r"|(?P<rust>[Ss]tack backtrace:$)|(?P<lua>stack traceback:$)|(?P<swift>Current stack trace:$)"
    r"|(?P<elixir>Server: \S+:\d+ \(https?\)$|Start Call: )"
)
BELOW_STARTS = ("Stack ", "stack ", "[stacktrace]", "#0 ", "Current stack trace:", "Server: ", "Start Call: ")


def opened(text: str) -> str:
    """The language of the trace that begins with this line, empty for none."""
    found = _OPENS.match(text) if text.startswith(BEGINNINGS) or "Fatal error: " in text else None
    return found.lastgroup or "" if found is not None else ""


def message_goes_on(lines: list[str]) -> bool:
    """Whether the message of PHP's exception, the lines of whose trace these are, goes on: its place ends it."""
    if len(lines) > _MESSAGE_LINES or _PHP_PLACE.search(lines[-1][-_PLACE_CHARS:]) or "Stack trace:" in lines:
        return False
    return "Uncaught " in lines[0] or OBJECT in lines[0]


_PHP_PLACE = lazy(r":\d+\)?$")
_PLACE_CHARS = 20
_MESSAGE_LINES = 20
OBJECT = '"[object] ('  # of Laravel's exceptions


def opened_below(text: str) -> str:
    """The language of the trace that belongs to the line before this one, empty for none."""
    found = _BELOW.match(text) if text.startswith(BELOW_STARTS) else None
    return found.lastgroup or "" if found is not None else ""


# ---------------------------------------------------------------- type and message

_PHP_TYPE = lazy(r"([A-Za-z_\\][\w\\]*)(?=: | in )")
_PHP_LEVEL = lazy(r"\bPHP ((?:Fatal|Parse|Recoverable fatal) error): +")
_PHP_OBJECT = lazy(r"([A-Za-z_\\][\w\\]*)\(code: [^):]{1,50}\): ")
_RUST_OLD = lazy(r"'(.*)'[,:] \S+:\d+(?::\d+)?$")
_ELIXIR_SAID = lazy(r"\s*\*\* \(([A-Z][\w.]*|exit|throw|stop)\) ?(.*)")
_ERLANG_SAID = lazy(
    r"\s*exception (?:error|exit|throw): (.*)|\*\* Reason for termination ?=* ?(.*)|.* with exit value:(.*)"
)
_ERLANG_REASON = lazy(r"(?:\*\* )?\{*'?([a-z]\w*)")
_DART_SAID = lazy(r"(\w*(?:Error|Exception))(?: \([^)]*\))?: (.*)")
_FLUTTER_SAID = lazy(r"The following (\S{1,200}) (?:object )?was thrown")
_SWIFT_FATAL = lazy(r".*?Fatal error: (.*?)(?:: file \S+, line \d+)?$")
_OBJC = lazy(r"\*\*\* Terminating app due to uncaught exception '([^']+)'(?:, reason: '(.*)')?")
_CPP_TYPE = lazy(r"terminate called after throwing an instance of '([^']*)'")


def _of_php(lines: list[str]) -> Said:
    """Of the exception that was reported: the last `Next` where there are causes; else the first line's."""
    first, object_at = lines[0], lines[0].rfind("[object] (")
    if object_at >= 0:
        found = _PHP_OBJECT.match(first, object_at + 10)
        return (found[1].replace("\\\\", "\\"), _before_place(first[found.end() :], " at ")) if found else (None, None)
    line = next((line[5:] for line in reversed(lines) if line.startswith("Next ")), "")
    line = line or first.partition("Uncaught ")[2]
    if not line and (level := _PHP_LEVEL.search(first)) is not None:
        return level[1], _before_place(first[level.end() :], " in ")
    found = _PHP_TYPE.match(line or first)
    if found is None or (not line and ".php:" not in first):
        return None, first
    return found[1], _before_place((line or first)[found.end() :].removeprefix(":"), " in ")


def _before_place(text: str, between: str) -> str | None:
    """What stands before ` in FILE:LINE` or ` at FILE:LINE`."""
    before, found, _ = text.rpartition(between)
    return (before if found else text).strip() or None


def _of_rust(lines: list[str]) -> Said:
    for at, line in enumerate(lines):
        _, panicked, place = line.partition("' panicked at ")
        if not panicked:
            _, panicked, place = line.partition(" panicked at ")
        if panicked:
            old = _RUST_OLD.match(place)
            below = lines[at + 1] if place.endswith(":") and len(lines) > at + 1 else None
            return "panic", old[1] if old is not None else below
    return None, lines[0].removeprefix("Error: ")  # anyhow's errors are all called so


def _of_elixir(lines: list[str]) -> Said:
    """Of the innermost: `** (exit) an exception was raised:` stands above what was raised."""
    found = [found for line in lines if (found := _ELIXIR_SAID.match(line)) is not None]
    if not found:
        return None, lines[0]
    one = next((one for one in found if not one[2].endswith(" raised:")), found[0])
    return one[1], one[2] or None


def _of_erlang(lines: list[str]) -> Said:
    """Erlang's reasons are terms: the name that one begins with, and what is written of it."""
    for at, line in enumerate(lines):
        found = _ERLANG_SAID.match(line)
        if found is not None:
            reason = next((text for text in (*found.groups(), *lines[at + 1 : at + 2]) if text), "").removeprefix("** ")
            name = _ERLANG_REASON.match(reason.lstrip())
            return name[1] if name is not None and found[1] is None else None, reason or None
    return None, lines[0]


def _of_dart(lines: list[str]) -> Said:
    first = lines[0]
    _, uncaught, rest = first.partition("xception:")
    found = _DART_SAID.match(rest.strip() or "".join(lines[1:2]) if uncaught else first)
    if found is not None:
        return found[1], found[2]
    return ("Unhandled exception", rest.strip() or "".join(lines[1:2]) or None) if uncaught else (None, first)


def _of_flutter(lines: list[str]) -> Said:
    """`The following StateError was thrown building Cart:` below the head of the box, and what it says below that."""
    found = _FLUTTER_SAID.match("".join(lines[1:2]))
    return found[1] if found is not None else None, "".join(lines[2:3]) or None


def _of_swift(lines: list[str]) -> Said:
    for line in lines[:3]:
        fatal = _SWIFT_FATAL.match(line)
        if fatal is not None:
            return "Fatal error", fatal[1]
        objc = _OBJC.match(line)
        if objc is not None:
            return objc[1], objc[2]
    _, _, crashed = lines[0].partition(" crashed: ")
    return "Fatal error", crashed.removesuffix(" ***") or lines[0]


def _of_lua(lines: list[str]) -> Said:
    return None, lines[0].partition(": ")[2] if lines[0].startswith("lua") else lines[0]


def _of_cpp(lines: list[str]) -> Said:
    found = _CPP_TYPE.match(lines[0])
    what = next((line.partition("what():")[2].strip() for line in lines if "what():" in line), None)
    return found[1] if found is not None else None, what


_PHP_GOES_ON = r'#\d+ |Stack trace:$|\[(?:stacktrace|previous exception)\]|Next [A-Za-z_\\]|"\} ?$|\{main\}'
_ELIXIR_GOES_ON = (
    r"\*\* \(|Last message|State: |Function: |(?:Initial|Start) Call: |Ancestors: |Client |Process Label: |Server: "
    r"|Request: "
)
_SWIFT_GOES_ON = (
    r"Current stack trace:|\d+ +\S|Thread \d|\*\*\* |libc\+\+abi|[()]$|Registers:|Images|Backtrace took|\.\.\.$"
)
RUNTIMES = {
    "php": Runtime(_of_php, lazy(_PHP_GOES_ON), after_blank=True),
    "rust": Runtime(_of_rust, lazy(r"note: |[Ss]tack backtrace:$|Caused by:$|Location:$"), message_below=True),
    "elixir": Runtime(_of_elixir, lazy(_ELIXIR_GOES_ON)),
    "erlang": Runtime(_of_erlang, None),
    "dart": Runtime(_of_dart, lazy(r"#\d+ |<asynchronous suspension>|\.\.\.$|\(elided "), message_below=True),
    "flutter": Runtime(_of_flutter, None, after_blank=True),
    "swift": Runtime(_of_swift, lazy(_SWIFT_GOES_ON), after_blank=True),
    "lua": Runtime(_of_lua, lazy(r"stack traceback:$|coroutine \d+:$")),
    "cpp": Runtime(_of_cpp, lazy("Aborted")),
}
_MOST_LINES = 200  # of a trace in which type and message are looked for


def said(language: str, trace: str) -> Said:
    """Type and message of the exception that a trace of this language is of."""
    return RUNTIMES[language].said(trace.replace("\r", "").strip("\n").split("\n", _MOST_LINES)[:_MOST_LINES])
