"""Stack traces of each language: the frames that count, and that a release, a process or a library changes nothing."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import ErrorEvent
from agent.group import fingerprint
from agent.group.fingerprint import innermost, shape
from agent.group.frames import chain

CASES = tomllib.loads((Path(__file__).parent / "traces.toml").read_text(encoding="utf-8"))["case"]


def error(message="boom", **facts):
    return ErrorEvent(0, 0, 17, message, **facts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_trace_is_its_chain_of_frames(case):
    expected = [(kind, names) for kind, *names in case["chain"]]
    for trace in (case["one"], case["other"]):
        assert chain(trace) == expected
        assert innermost(trace) == next(names[0] for _, names in expected if names)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_later_trace_of_the_same_trouble_has_its_shape(case):
    one, other = (error(text, exception_type="E", stacktrace=case[text]) for text in ("one", "other"))
    assert fingerprint.frames_shape(one) is not None
    assert shape(one) == shape(other)
    assert shape(one) != shape(error(exception_type="F", stacktrace=case["one"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_carriage_returns_change_nothing_that_matters(case):
    chain(case["one"].replace("\n", "\r\n"))


def test_the_types_of_causes_count():
    java = "E: x\n\tat a.B.c(B.java:1)\nCaused by: {}: y\n\tat java.net.Net.connect(Net.java:1)\n"
    kinds = ["java.net.ConnectException", "java.net.SocketTimeoutException"]
    assert len({shape(error(stacktrace=java.format(kind))) for kind in kinds}) == 2


def test_a_type_with_a_generated_part_is_one_type():
    trace = "E: x\n\tat a.B.c(B.java:1)\n"
    kinds = ["shop.cart.<locals>.CartError", "shop.cart.CartError"]
    assert len({shape(error(stacktrace=trace, exception_type=kind)) for kind in kinds}) == 1


def test_names_that_end_in_digits_are_names():
    frames = chain("E: x\n\tat a.Base64.decode2(B.java:1)\n\tat a.V1Cart.add(B.java:1)\n")
    assert frames == [("", ["a.Base64.decode2", "a.V1Cart.add"])]


def test_text_without_frames_has_no_chain():
    for text in (
        "",
        "not a trace",
        "Traceback (most recent call last):\nValueError: x",
        "Caused by: E",
        "at (",
        "a.b(1)",
    ):
        assert chain(text) == []


lines = st.sampled_from([line for case in CASES for text in ("one", "other") for line in case[text].split("\n")])


@settings(max_examples=300, deadline=None)
@given(st.lists(lines, max_size=12).map("\n".join))
def test_lines_in_any_order_have_a_chain_and_always_the_same(text):
    found = chain(text)
    assert found == chain(text)
    assert found == [] or any(names for _, names in found)
    assert all(len(names) == len(set(names)) for _, names in found)
    assert innermost(text) is None or "\n" not in innermost(text)
