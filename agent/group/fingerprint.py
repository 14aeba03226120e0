"""What makes two errors the same: an explicit fingerprint, else exception type and frames, else a message template.

Of a stack trace count the type of the reported exception, the types of its causes, and the innermost frames of each
link of that chain; its messages do not. Of the others count the type or the logger, and what the message has in common
with others (`agent.group.template`, `agent.group.miner`).

A frame is module and function, of Python, Java, Node, Go, Ruby and .NET. What changes with a release, a process or a
version of the language is left out: line numbers, addresses, versions and content hashes in paths, generated names
(`lambda$1`, `$$EnhancerBySpringCGLIB`, `<locals>`, `func1`, `d__7.MoveNext`), and the repetitions of a recursion.
Frames of libraries are left out where the trace has any of the application. Every pattern is anchored at a line's
beginning and cannot leave its line, so that a hostile trace takes linear time.
"""

from __future__ import annotations

import functools
import hashlib
import re
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.group.template import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.core.model import ErrorEvent

VERSION = 3  # stored with each group: a later algorithm can tell its own groups from these
_FRAMES = 12  # innermost frames of each link that count
_LINKS = 5  # of a chain of causes
_TRACE_CHARS = 65_536  # around the innermost frames; all of a trace of 1 MiB would take a second
OF_FRAMES = "frames"
_NO_TYPES = frozenset({"panic", "fatal error", "Fatal error"})  # what languages call all of their errors
_PYTHON_STARTS = ("Traceback", '  File "')


def innermost(stacktrace: str) -> str | None:
    """The frame in which the reported exception happened, the application's where there is one."""
    return next((names[0] for _, names in chain(_decisive(stacktrace)) if names), None)


def shape(error: ErrorEvent) -> str:
    """The text whose hash is the fingerprint."""
    if error.fingerprint:
        return f"explicit\n{error.fingerprint}"
    frames = frames_shape(error)
    if frames is not None:
        return frames if has_type(error) else f"{OF_FRAMES}\n{fingerprint(frames)}\n{mask(said(error))}"
    if error.exception_type:
        return f"type\n{error.exception_type}\n{mask(error.exception_message or error.message)}"
    return f"message\n{error.logger or ''}\n{mask(error.message)}"


def frames_shape(error: ErrorEvent) -> str | None:
    """Its type and the frames of its trace as a text; None where it has no frames."""
    links = chain(_decisive(error.stacktrace)) if error.stacktrace else []
    if not links:
        return None
    lines = [OF_FRAMES, type_name(error.exception_type or "")]
    for index, (kind, names) in enumerate(links[:_LINKS]):
        lines += [f"cause {kind}"] * bool(index) + names[:_FRAMES]
    return "\n".join(lines)


def has_type(error: ErrorEvent) -> bool:
    """Whether its exception has a type that tells it from others: Go's errors, panics of Go and Rust have none."""
    return bool(error.exception_type) and error.exception_type not in _NO_TYPES


def said(error: ErrorEvent) -> str:
    """What an error without a type says: the message of the event, and that of its exception where that is another."""
    message, why = error.message, error.exception_message
    return message if not why or why in message else f"{message}: {why}"


def frames_part(stacktrace: str) -> tuple[str, bool] | None:
    """The part of a trace that its frames lie in, without what its exception says: equal parts have equal frames.

    Of Python, whose exception comes last, that is all up to the line with the last `File "`, where no frame can
    follow; the answer holds only if `has_python_frames` of the part. The others' exception is the first line.

    Returns:
        The part, and whether it is Python's; None where the first line may be a frame itself, as Ruby's is.
    """
    if stacktrace.startswith(_PYTHON_STARTS):
        at = stacktrace.rfind('File "')
        end = stacktrace.find("\n", at)
        return (stacktrace if end < 0 else stacktrace[:end], True) if at >= 0 else None
    part = stacktrace.partition("\n")[2]
    if not part or begins_with_frame(stacktrace):
        return None
    return part, False


def _decisive(stacktrace: str) -> str:
    """What of a trace is looked at: its `frames_part` where it has one that holds."""
    found = frames_part(stacktrace)
    if found is None or (found[1] and not has_python_frames(found[0])):
        return stacktrace[:_TRACE_CHARS]
    part, is_python = found
    return part[-_TRACE_CHARS:] if is_python else part[:_TRACE_CHARS]


def fingerprint(text: str) -> str:
    """32 hexadecimal digits that name a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# ---------------------------------------------------------------- frames of a trace

# A link of the chain of causes: its exception's type (empty for the reported one, whose type is known otherwise) and
# its frames as (name, whether it is the application's), the innermost first.
_Link = tuple[str, list[tuple[str, bool]]]
Chain = list[tuple[str, list[str]]]  # the same, with only the frames that count

_PYTHON = lazy(r'^[ \t|+-]*File "([^"\n]{1,1000})", line \d+, in (.+)$', re.MULTILINE)
_PYTHON_CHAINED = lazy(
    r"^(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):$",
    re.MULTILINE,
)
_PYTHON_TYPE = lazy(r"^([A-Za-z_][\w.]{0,300})(?:$|: )", re.MULTILINE)
_NODE = lazy(
    r"^[ \t]+(?:at (?:async )?(?:([^\s(][^(\n]{0,200}?) \()?(?:file:///?)?((?:[a-z]:)?[^():\n]{1,300}"
    r"|(?:node|webpack|webpack-internal):[^():\n]{1,300}):\d+:\d+\)?$|\[cause\]: ([\w.]{1,300}))",
    re.MULTILINE | re.IGNORECASE,
)
_JAVA = lazy(  # and .NET
    r"^[ \t]*(?:at ([^\s()]{1,500})\(|(?:(?:Caused|Wrapped) by|--->):? ([\w.$]{1,300}))", re.MULTILINE
)
_SUPPRESSED = lazy(r"^\tSuppressed: .*\n(?:\t\t.*\n?)*", re.MULTILINE)
_RUBY_FILE = r"[^\s:]{1,300}\.(?:rb|erb|rake|ru|haml|slim)"
_RUBY = lazy(
    rf"^[ \t]*(?:\d+: )?(from )?({_RUBY_FILE}|<internal:[^>\n]{{1,200}}>):\d+:in [`']([^'\n]{{1,200}})'"
    r"(?:.*\(([A-Z][\w:]{0,300})\)$)?",
    re.MULTILINE,
)
_GO = lazy(r"^([^\s(]\S{0,300}?)(?:\([^()\n]*\))?\n[ \t]+(\S{1,1000}\.go):\d+", re.MULTILINE)
_GO_NEXT = lazy(r"^goroutine \d+ \[", re.MULTILINE)

_PYTHON_LIBRARY = lazy(r"[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python|[\\/]Lib[\\/]|^<frozen ")
_NODE_LIBRARY = lazy(r"(?:^|/)node_modules/|^(?:node|internal)[:/]|^[^/\\]+$")
_RUBY_LIBRARY = lazy(r"/gems/|/lib/ruby/|/rubygems/|/vendor/bundle/|^<internal:")
_GO_LIBRARY = lazy(r"/pkg/mod/|/vendor/")
_GO_STANDARD = frozenset(
    (
        "archive", "bufio", "bytes", "cmp", "compress", "container", "context", "crypto", "database", "debug", "embed",
        "encoding", "errors", "expvar", "flag", "fmt", "go", "hash", "html", "http", "image", "index", "internal", "io",
        "iter", "log", "maps", "math", "mime", "net", "os", "path", "plugin", "reflect", "regexp", "runtime", "slices",
        "sort", "strconv", "strings", "sync", "syscall", "testing", "text", "time", "unicode", "unsafe",
    )
)  # fmt: skip
_JAVA_LIBRARIES = (
    # the JVM's languages and Android
    "java.", "javax.", "jakarta.", "jdk.", "sun.", "com.sun.", "kotlin.", "kotlinx.", "scala.", "groovy.",
    "org.codehaus.groovy.", "clojure.", "android.", "androidx.", "dalvik.", "com.android.",
    # what most applications are built with
    "org.springframework.", "org.apache.", "org.hibernate.", "org.eclipse.", "org.jboss.", "org.junit.", "org.slf4j.",
    "org.postgresql.", "org.mongodb.", "com.mongodb.", "com.mysql.", "oracle.jdbc.", "com.zaxxer.", "com.fasterxml.",
    "com.google.common.", "com.google.inject.", "ch.qos.logback.", "io.netty.", "io.undertow.", "io.vertx.",
    "io.quarkus.", "io.micronaut.", "io.grpc.", "io.reactivex.", "reactor.", "rx.", "akka.", "play.", "okhttp3.",
    "retrofit2.", "feign.", "redis.clients.", "net.sf.cglib.",
    # .NET
    "System.", "Microsoft.", "Newtonsoft.", "Npgsql.", "Dapper.", "MediatR.", "Polly.", "Serilog.", "lambda_method",
)  # fmt: skip

_COMPREHENSIONS = frozenset({"<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>"})  # frames of older versions only
_PYTHON_GENERATED = lazy(r"<locals>\.")
_NODE_GENERATED = lazy(r"^new |(?:^|Object\.|\.)<anonymous>$| \[as [^\]]{1,100}\]$")
_RUBY_GENERATED = lazy(r"^(?:(?:block|rescue|ensure)(?: \(\d+ levels\))? in )+|^.*[#.](?=[^#.]+$)|_{2,}\d+_\d+$")
_GO_GENERATED = lazy(r"\.(?:func|gowrap)\d+(?:\.\d+)*|\[\.\.\.\]|-fm$|^(?=\()")
_JAVA_GENERATED = lazy(
    r"\$\$Lambda[\w$]*(?:/0x[0-9a-f]+)?|\$\$[\w$]+|\$\d+|(?<=Accessor)\d+|(?<=\$Proxy)\d+"  # the JVM's
    r"|<>c(?:__DisplayClass\w*)?\.|(?:(?<=>)[db]__\w*(?:\.MoveNext)?)|`\d+|\[[^\]\n]*\]",  # .NET's
    re.IGNORECASE,
)
_DOTNET_LOCAL = lazy(r"<\w*>g__(\w+)\|\w*|<(\w+)>\$?")
_CONTENT_HASH = lazy(r"[.-](?=[a-f]{0,64}\d)[0-9a-f]{1,64}(?=\.)", re.IGNORECASE)  # `main.8f3a2b1c.js`
_TYPE_GENERATED = lazy(r"\$\d+|<locals>\.|0x[0-9a-f]+", re.IGNORECASE)


def chain(text: str) -> Chain:
    """The reported exception and its causes: type and frames of each, the innermost frame first; empty for none."""
    links = next((links for read in _READERS if (links := read(text))), [])
    of_application = any(ours for _, frames in links for _, ours in frames)
    return [
        (kind, list(dict.fromkeys(name for name, ours in frames if ours or not of_application)))
        for kind, frames in links
    ]


def has_python_frames(text: str) -> bool:
    """Whether any of its lines is a frame as Python writes it."""
    return _PYTHON.search(text) is not None


def begins_with_frame(text: str) -> bool:
    """Whether the first line may be a frame itself, and not what the exception says."""
    line = text.partition("\n")[0]
    return line.startswith((" ", "\t", 'File "', "at ")) or bool(_RUBY_LINE.search(line) or _GO.match(text))


_RUBY_LINE = lazy(r"\.(?:rb|erb|rake|ru|haml|slim):|<internal:")


def type_name(kind: str) -> str:
    """The name of an exception's type without generated parts."""
    return _TYPE_GENERATED.sub("", kind)


def _python(text: str) -> list[_Link]:
    links: list[_Link] = []
    for part in _PYTHON_CHAINED.split(text):
        frames, end = [], 0
        for found in _PYTHON.finditer(part):
            path, function = found[1], _PYTHON_GENERATED.sub("", found[2].strip())
            end = found.end()
            if function not in _COMPREHENSIONS:
                frames.append((f"{_module(path)}:{function}", _PYTHON_LIBRARY.search(path) is None))
        kind = _PYTHON_TYPE.search(part, end)
        links.append((kind[1] if kind else "", frames[::-1]))
    links.reverse()
    return [("", links[0][1]), *links[1:]] if any(frames for _, frames in links) else []


def _node(text: str) -> list[_Link]:
    def frames() -> Iterator[tuple[str, bool] | str]:
        for function, path, cause in _NODE.findall(text):
            if path:
                name = _NODE_GENERATED.sub("", _NODE_GENERATED.sub("", function.strip()))
                yield f"{_module(path)}:{name}", _NODE_LIBRARY.search(path.replace("\\", "/")) is None
            else:
                yield cause

    return _linked(frames())


def _java(text: str) -> list[_Link]:
    if "\tSuppressed: " in text:
        text = _SUPPRESSED.sub("", text)

    def frames() -> Iterator[tuple[str, bool] | str]:
        for frame, cause in _JAVA.findall(text):
            if frame:
                name = _DOTNET_LOCAL.sub(r"\1\2", _JAVA_GENERATED.sub("", frame)).rpartition("/")[2]
                yield name, not name.startswith(_JAVA_LIBRARIES)
            else:
                yield cause

    return _linked(frames())


def _ruby(text: str) -> list[_Link]:
    def frames() -> Iterator[tuple[str, bool] | str]:
        for index, (inner, path, function, kind) in enumerate(_RUBY.findall(text)):
            if kind and not inner and index:
                yield kind
            name = _RUBY_GENERATED.sub("", _RUBY_GENERATED.sub("", function))
            yield f"{_module(path)}:{name}", _RUBY_LIBRARY.search(path) is None

    return _linked(frames())


def _go(text: str) -> list[_Link]:
    starts = [found.start() for found in _GO_NEXT.finditer(text)][:2]
    frames = []
    for function, path in _GO.findall(text, 0, starts[1] if len(starts) > 1 else len(text)):
        name = _GO_GENERATED.sub("", function)
        if "." not in name:  # `panic` itself
            continue
        library = re.split(r"[./]", name, maxsplit=1)[0] in _GO_STANDARD or _GO_LIBRARY.search(path) is not None
        frames.append((name, not library))
    return [("", frames)] if frames else []


_READERS = (_python, _node, _java, _ruby, _go)


def _linked(found: Iterable[tuple[str, bool] | str]) -> list[_Link]:
    """Frames and the types of causes, in the order of their lines, as links; none without a frame."""
    links: list[_Link] = [("", [])]
    for one in found:
        if isinstance(one, str):
            links.append((type_name(one), []))
        else:
            links[-1][1].append(one)
    return links if any(frames for _, frames in links) else []


@functools.lru_cache(1_024)  # the same few files fail over and over
def _module(path: str) -> str:
    """Directory and name of a source file, without what changes with a release: versions, dates, content hashes."""
    directory, _, name = "/".join(path.replace("\\", "/").split("/")[-2:]).rpartition("/")
    return f"{re.sub('[0-9]+', '', directory)}/{_CONTENT_HASH.sub('', name)}"
