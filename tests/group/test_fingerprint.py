"""One trouble is one group: over users, ids, hosts, line numbers and releases; and no text takes for ever."""

import pytest

from agent.core.model import ErrorEvent
from agent.group import fingerprint
from agent.group.fingerprint import innermost, shape
from agent.group.frames import chain


def error(message="boom", **facts):
    return ErrorEvent(0, 0, 17, message, **facts)


PYTHON = """Traceback (most recent call last):
  File "/srv/shop/releases/{release}/shop/web.py", line {line}, in handle
    return cart.add(item)
           ^^^^^^^^^^^^^^
  File "/srv/shop/releases/{release}/shop/cart.py", line {line}, in add
    raise ValueError(item)
ValueError: {value}
"""
JAVA = """com.example.CartException: item {value}
\tat com.example.Cart$$Lambda$14.add(Cart.java:{line})
\tat com.example.Web.lambda$handle${line}(Web.java:{line})
\tat java.base/java.lang.Thread.run(Thread.java:829)
Caused by: java.lang.IllegalStateException: {value}
\tat com.example.Stock.take(Stock.java:{line})
\t... 3 more
"""
NODE = """TypeError: Cannot read properties of undefined (reading '{value}')
    at Cart.add (/srv/shop/dist/cart.{hash}.js:{line}:13)
    at async handle (file:///srv/shop/dist/web.js:{line}:5)
    at /srv/shop/node_modules/express/router.js:{line}:9
    at processTicksAndRejections (node:internal/process/task_queues:95:5)
"""
GO = """panic: runtime error: index out of range [{line}]

goroutine {line} [running]:
main.(*Cart).Add(0xc0000{hash}, 0x{line})
\t/srv/shop/cart.go:{line} +0x1d
main.main.func{line}()
\t/srv/shop/main.go:{line} +0x1d
"""
DOTNET = """System.InvalidOperationException: item {value}
   at Shop.Cart.Add(String item) in C:\\src\\Cart.cs:line {line}
   at Shop.Web.<Handle>d__{line}.MoveNext() in C:\\src\\Web.cs:line {line}
"""
RUBY = """app/models/cart.rb:{line}:in `add': item {value} (ArgumentError)
\tfrom app/web.rb:{line}:in `handle'
\tfrom /usr/lib/ruby/3.1.0/webrick/server.rb:{line}:in `block in start_thread'
"""
EXPECTED = {
    "python": (PYTHON, [("", ["shop/cart.py:add", "shop/web.py:handle"])]),
    "java": (
        JAVA,
        [
            ("", ["com.example.Cart.add", "com.example.Web.lambda$handle"]),
            ("java.lang.IllegalStateException", ["com.example.Stock.take"]),
        ],
    ),
    "node": (NODE, [("", ["dist/cart.js:Cart.add", "dist/web.js:handle"])]),
    "go": (GO, [("", ["main.(*Cart).Add", "main.main"])]),
    ".net": (DOTNET, [("", ["Shop.Cart.Add", "Shop.Web.Handle"])]),
    "ruby": (RUBY, [("", ["models/cart.rb:add", "app/web.rb:handle"])]),
}


@pytest.mark.parametrize("language", EXPECTED)
def test_frames_of_each_language_survive_a_release(language):
    trace, expected = EXPECTED[language]
    one = trace.format(release="2026-11-22", line=17, value="apple", hash="8f3a2b1c")
    other = trace.format(release="20270101120000", line=345, value="pear", hash="00d1ff7e")
    assert chain(one) == chain(other) == expected
    assert innermost(one) == expected[0][1][0]
    kind = "CartError"
    assert shape(error(stacktrace=one, exception_type=kind)) == shape(
        error("other", stacktrace=other, exception_type=kind)
    )


def test_windows_paths_are_paths():
    assert chain('  File "C:\\app\\shop\\cart.py", line 3, in add\n') == [("", ["shop/cart.py:add"])]
    assert chain("    at add (C:\\app\\dist\\cart.js:3:7)\n") == [("", ["dist/cart.js:add"])]


def test_other_frames_are_another_group():
    def trace(function):
        return f'Traceback\n  File "a/shop/cart.py", line 3, in {function}\nValueError: x\n'

    shapes = {shape(error(stacktrace=trace(name), exception_type="ValueError")) for name in ("add", "add2", "remove")}
    assert len(shapes) == 3
    kinds = {shape(error(stacktrace=trace("add"), exception_type=kind)) for kind in ("ValueError", "KeyError", None)}
    assert len(kinds) == 3


def test_only_the_frames_nearest_to_the_trouble_count():
    def python(outer):
        lines = [f'  File "x/{outer}{n}.py", line 1, in f{n}' for n in range(5)]
        return "\n".join([*lines, *(f'  File "x/inner.py", line 1, in g{n}' for n in range(12))])

    def java(outer):
        return "\n".join([*(f"\tat in.G{'x' * n}.g(G.java:1)" for n in range(12)), f"\tat {outer}.F.f(F.java:1)"])

    for trace in (python, java):
        assert shape(error(stacktrace=trace("a"))) == shape(error(stacktrace=trace("b")))


def test_of_an_endless_trace_the_part_around_the_innermost_frames_counts():
    python = '  File "x/{}.py", line 1, in f\n'.format
    java = "\tat {}.F.f(F.java:1)\n".format
    filler = "    some = code\n" * 10_000
    for one, other in [
        ("Traceback\n" + python("a") + filler + python("z"), "Traceback\n" + python("b") + filler + python("z")),
        ("E: x\n" + java("z") + filler + java("a"), "E: x\n" + java("z") + filler + java("b")),
    ]:
        assert shape(error(stacktrace=one)) == shape(error(stacktrace=other))
        assert fingerprint.frames_shape(error(stacktrace=one)) is not None


def test_without_frames_the_type_and_the_template_count():
    assert shape(error(exception_type="E", exception_message="id 1")) == shape(
        error("other", exception_type="E", exception_message="id 2")
    )
    assert shape(error("id 1", exception_type="E")) != shape(error("id 1", exception_type="F"))
    assert shape(error("id 1", stacktrace="not a trace")) == shape(error("id 2", stacktrace="another"))
    assert shape(error("id 1", logger="a")) != shape(error("id 1", logger="b"))


@pytest.mark.parametrize(("kind", "troubles"), [(None, 3), ("panic", 2), ("fatal error", 2)])
def test_without_a_type_the_constant_part_of_the_message_takes_its_place(kind, troubles):
    trace = GO.format(line=3, hash="8f", release="", value="")
    shapes = {
        shape(error(message, exception_message=why, exception_type=kind, stacktrace=trace))
        for message, why in [
            ("cannot charge order 17", "timeout after 3s"), ("cannot charge order 4711", "timeout after 15s"),
            ("cannot charge order 17", "no such card"), ("cannot refund order 17", "timeout after 3s"),
        ]
    }  # fmt: skip
    assert len(shapes) == troubles
    assert len({shape(error(text, exception_type="main.Error", stacktrace=trace)) for text in "ab"}) == 1


def test_what_a_typeless_error_says_is_said_once():
    assert fingerprint.said(error("cannot charge: no card", exception_message="no card")) == "cannot charge: no card"
    assert fingerprint.said(error("cannot charge", exception_message="no card")) == "cannot charge: no card"
    assert fingerprint.said(error("cannot charge")) == "cannot charge"
    assert fingerprint.said(error("thread 'main'", exception_type="panic", exception_message="no")) == "no"
    assert fingerprint.said(error("panic: no", exception_type="panic")) == "panic: no"


def test_an_explicit_fingerprint_decides_alone():
    one = error("a", fingerprint="mine", exception_type="A", stacktrace=PYTHON)
    assert shape(one) == shape(error("b", fingerprint="mine", logger="other"))
    assert shape(one) != shape(error("b", fingerprint="yours"))
    assert shape(error("mine")) != shape(error("x", fingerprint="mine"))


def test_a_fingerprint_is_32_digits_also_of_what_utf8_cannot_say():
    marks = {fingerprint.fingerprint(text) for text in ("", "a", "\ud800", "x" * 10**6)}
    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {32}


HOSTILE = [
    '"', "'", "0", ".", "a.", "0.", "/a", "\n", "\n  ", " ", "(", ".(", "a.b(", "()", ":", "1:1", "\tat ", "    at a (",
    '  File "', "@a.", "a@", "-", "0x", "<", "$", "from a.rb:1:in `", "https://", "1-1", "\\", "at a.b(\n", "x.y(\n",
    "#0 a(1): b(", "#0 ", "#0 \n", "Next A: x in ", "Uncaught A in ", "A in x.php:1 in ", "[object] (A at ", "0: a",
    "0: a\n at b\n", "stack backtrace:\n 0: ", "    (a 1) a.ex:1: A.", "{a,b,[", "{a,b,1, ", "    in function a:b",
    "0 a + 1 in ", "1 a 0x1 b + 1", "\ta.lua:1: in ", "\ta(b) called at ", "#0 a (dart:b", "\t[string ",
]  # fmt: skip


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_text_ends(pattern):
    """A megabyte of anything: what is quadratic in it would take hours."""
    text = pattern * (1_000_000 // len(pattern))
    for message in (text, text + "x", "at " + text):
        assert len(shape(error(message, stacktrace=message, exception_type=message, exception_message=message)))
        innermost(message)
