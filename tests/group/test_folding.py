"""Stack traces with the frames of libraries folded, in every language that the readers know."""

import tomllib
from pathlib import Path

import pytest

from agent.group.folding import fold, folded
from agent.group.frames import chain

TRACES = tomllib.loads((Path(__file__).parent / "traces.toml").read_text(encoding="utf-8"))

CASES = {
    "python": (
        (
            'Traceback (most recent call last):\n'
            '  File "/srv/shop/web.py", line 3, in handle\n    add()\n    ~~~^^\n'
            '  File "/v/lib/python3.11/site-packages/flask/app.py", line 9, in y\n    z()\n'
            '  File "/v/lib/python3.11/site-packages/flask/app.py", line 12, in z\n    w()\n'
            '  File "/srv/shop/cart.py", line 7, in add\n    raise ValueError\nValueError: no'
        ),
        ["web.py", "... 2 frames of libraries", "cart.py", "ValueError: no", "~~~^^"],
    ),
    "java": (
        (
            "java.lang.IllegalStateException: x\n\tat shop.Cart.add(Cart.java:12)\n"
            "\tat org.springframework.web.A.b(A.java:1)\n\tat java.base/java.lang.Thread.run(Thread.java:1)\n"
            "Caused by: java.io.IOException: y\n\tat java.io.A.b(A.java:1)\n\tat shop.Z.z(Z.java:3)\n\t... 3 more"
        ),
        ["shop.Cart", "\t... 2 frames of libraries", "Caused by", "java.io.A.b", "shop.Z", "... 3 more"],
    ),
    "node": (
        (
            "Error: boom\n    at add (/srv/shop/cart.js:1:2)\n    at a (/srv/shop/node_modules/express/lib/r.js:95:5)\n"
            "    at b (/srv/shop/node_modules/express/lib/r.js:9:5)\n    at node:internal/timers:1:2"
        ),
        ["cart.js", "    ... 3 frames of libraries"],
    ),
    "go": (
        (
            "panic: boom\n\ngoroutine 1 [running]:\nruntime.main()\n\t/usr/local/go/src/runtime/proc.go:250 +0x1\n"
            "main.add(...)\n\t/srv/cart.go:12 +0x2\ngithub.com/x/y.Z()\n\t/root/go/pkg/mod/github.com/x/y@v1/z.go:1"
        ),
        ["... 1 frame of libraries", "main.add", "/srv/cart.go"],
    ),
    "php": (
        (
            "PHP Fatal error:  Uncaught Exception: x in /srv/web.php:3\nStack trace:\n"
            "#0 /srv/vendor/a/b.php(3): A->b()\n"
            "#1 [internal function]: A->b()\n#2 /srv/web.php(17): Cart->add()\n#3 {main}"
        ),
        ["... 2 frames of libraries", "#2 /srv/web.php", "#3 {main}"],
    ),
    "rust": (
        (
            "thread 'main' panicked\nstack backtrace:\n   0: rust_begin_unwind\n"
            "             at /rustc/a/library/std/src/p.rs:1:1\n"
            "   1: shop::cart::add\n             at ./src/cart.rs:12:9"
        ),
        ["   ... 1 frame of libraries", "shop::cart::add", "./src/cart.rs"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", CASES)
def test_runs_of_library_frames_are_a_line_and_the_application_stays(language):
    trace, parts = CASES[language]
    text, count = fold(trace)
    assert count
    assert len(text.split("\n")) < len(trace.split("\n"))
    for part in parts:
        assert part in text
    for library in ("site-packages", "springframework", "node_modules", "/pkg/mod/", "/vendor/", "/rustc/"):
        assert library not in text


@pytest.mark.parametrize(
    "trace",
    ["", "no trace at all\nat all", 'Traceback:\n  File "/v/site-packages/a.py", line 1, in f\nE: x', "x\n" * 9_000],
)
def test_where_nothing_is_the_applications_nothing_is_folded(trace):
    assert fold(trace) == (trace, 0)


def test_what_decides_a_group_is_never_folded_away():
    """Over the traces of all languages that the readers are tested with."""
    for trace in _texts(TRACES):
        text, count = fold(trace)
        if count and "#0 " not in trace:  # the file of a function of PHP stands in the line before
            assert chain(text) == chain(trace)


def _texts(value):
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) and "\n" in value else []


@pytest.mark.parametrize("language", CASES)
def test_stretches_are_all_of_the_trace(language):
    text, _ = CASES[language]
    stretches = folded(text)
    assert "\n".join(one.text for one in stretches) == text
    assert sum(one.libraries for one in stretches) == fold(text)[1] > 0
