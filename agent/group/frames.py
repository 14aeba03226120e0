"""Stack traces as frames: which functions of the application a trace names, of thirteen languages.

A frame is module and function, of Python, Java, Node, Go, Ruby and .NET here, and of others in `group.runtimes`. What
changes with a release, a process or a version of the language is left out: line numbers, addresses, versions and
content hashes in paths, generated names (`lambda$1`, `$$EnhancerBySpringCGLIB`, `<locals>`, `func1`, `d__7.MoveNext`),
and the repetitions of a recursion. Frames of libraries are left out where the trace has any of the application. Every
pattern is anchored at a line's beginning and cannot leave its line, so that a hostile trace takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.core.patterns import lazy
from agent.group import runtimes
from agent.group.runtimes import module_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from agent.group.runtimes import Link

Reader = Callable[[str], "list[Link]"]  # of a trace's text
Chain = list[tuple[str, list[str]]]  # links of which only the frames that count are left

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
_TYPE_GENERATED = lazy(r"\$\d+|<locals>\.|0x[0-9a-f]+", re.IGNORECASE)


def chain(text: str) -> Chain:
    """The reported exception and its causes: type and frames of each, the innermost frame first; empty for none."""
    links = next((links for read in READERS if (links := read(text))), [])
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
    return line.startswith((" ", "\t", 'File "', "at ")) or bool(_FIRST_FRAME.search(line) or _GO.match(text))


_FIRST_FRAME = lazy(r"\.(?:rb|erb|rake|ru|haml|slim):|<internal:|\.php:\d|\{file,|^#?\d+:? ")


def type_name(kind: str) -> str:
    """The name of an exception's type without generated parts."""
    return _TYPE_GENERATED.sub("", kind)


def python(text: str) -> list[Link]:
    """`  File "shop/cart.py", line 12, in add`; chained exceptions with the sentences between them."""
    links: list[Link] = []
    for part in _PYTHON_CHAINED.split(text):
        frames, end = [], 0
        for found in _PYTHON.finditer(part):
            path, function = found[1], _PYTHON_GENERATED.sub("", found[2].strip())
            end = found.end()
            if function not in _COMPREHENSIONS:
                frames.append((f"{module_of(path)}:{function}", _PYTHON_LIBRARY.search(path) is None))
        kind = _PYTHON_TYPE.search(part, end)
        links.append((kind[1] if kind else "", frames[::-1]))
    links.reverse()
    return [("", links[0][1]), *links[1:]] if any(frames for _, frames in links) else []


def node(text: str) -> list[Link]:
    """`    at add (/srv/cart.js:12:9)`."""

    def frames() -> Iterator[tuple[str, bool] | str]:
        for function, path, cause in _NODE.findall(text):
            if path:
                name = _NODE_GENERATED.sub("", _NODE_GENERATED.sub("", function.strip()))
                yield f"{module_of(path)}:{name}", _NODE_LIBRARY.search(path.replace("\\", "/")) is None
            else:
                yield cause

    return _linked(frames())


def java(text: str) -> list[Link]:
    r"""`\tat shop.Cart.add(Cart.java:12)`, and .NET's."""
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


def ruby(text: str) -> list[Link]:
    """`cart.rb:12:in 'Cart#add'`."""

    def frames() -> Iterator[tuple[str, bool] | str]:
        for index, (inner, path, function, kind) in enumerate(_RUBY.findall(text)):
            if kind and not inner and index:
                yield kind
            name = _RUBY_GENERATED.sub("", _RUBY_GENERATED.sub("", function))
            yield f"{module_of(path)}:{name}", _RUBY_LIBRARY.search(path) is None

    return _linked(frames())


def go(text: str) -> list[Link]:
    r"""`shop.Add(0x1)` and `\t/srv/cart.go:12` below it."""
    starts = [found.start() for found in _GO_NEXT.finditer(text)][:2]
    frames = []
    for function, path in _GO.findall(text, 0, starts[1] if len(starts) > 1 else len(text)):
        name = _GO_GENERATED.sub("", function)
        if "." not in name:  # `panic` itself
            continue
        library = re.split(r"[./]", name, maxsplit=1)[0] in _GO_STANDARD or _GO_LIBRARY.search(path) is not None
        frames.append((name, not library))
    return [("", frames)] if frames else []


READERS: tuple[Reader, ...] = (
    runtimes.rust,
    python,
    node,
    java,
    ruby,
    go,
    *runtimes.OTHERS,
)  # Rust's `at` looks like Node's


def _linked(found: Iterable[tuple[str, bool] | str]) -> list[Link]:
    """Frames and the types of causes, in the order of their lines, as links; none without a frame."""
    links: list[Link] = [("", [])]
    for one in found:
        if isinstance(one, str):
            links.append((type_name(one), []))
        else:
            links[-1][1].append(one)
    return links if any(frames for _, frames in links) else []
