"""What all rooms share: errors with their texts, and the model."""

import pytest

from agent.core.errors import ConfigError, SidelogError, StoreError, TailError, UsageError
from agent.core.event import severity_text
from agent.core.model import EventBatch, FileGeneration, Gap, LineBatch

FILE = FileGeneration(1, "app", "/a.log", 1, 2, 0)


@pytest.mark.parametrize(
    ("kind", "code"), [(SidelogError, 1), (UsageError, 2), (ConfigError, 78), (StoreError, 3), (TailError, 1)]
)
def test_each_kind_has_its_exit_code(kind, code):
    error = kind("SL101", "do", "it", "it went wrong", hint="do it right", retryable=True)
    assert str(error) == error.message == "it went wrong"
    assert (error.code, error.operation, error.subject, error.hint) == ("SL101", "do", "it", "do it right")
    assert (error.exit_code, error.retryable) == (code, True)
    assert not kind("SL101", "do", "it", "so").retryable


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, None), (1, "TRACE"), (4, "TRACE"), (5, "DEBUG"), (9, "INFO"), (13, "WARN"), (17, "ERROR"), (20, "ERROR"),
     (21, "FATAL"), (24, "FATAL"), (25, None), (-1, None)],
)  # fmt: skip
def test_severity_ranges(number, text):
    assert severity_text(number) == text


def test_a_batch_ends_after_its_last_gap():
    assert LineBatch(FILE, 10, b"abc\n", 0).end == 14
    assert LineBatch(FILE, 10, b"abc\n", 0, gaps=[Gap(14, 20, "hole"), Gap(20, 30, "hole")]).end == 30


def test_the_length_of_a_batch_is_its_rows():
    assert len(EventBatch()) == 0
    assert not EventBatch()
    assert len(EventBatch(records=["{}", "{}"])) == 2
