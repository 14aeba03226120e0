"""What a working process does to itself is left where the system does not let it."""

import ctypes
import errno
import os

import pytest

from agent.core import process


def test_a_priority_that_may_not_be_lowered_stays(monkeypatch):
    def refuse(number):
        def set_priority(*_):
            raise OSError(number, "refused")

        return set_priority

    monkeypatch.setattr(os, "setpriority", refuse(errno.EPERM))
    process.lower_priority()
    monkeypatch.setattr(os, "setpriority", refuse(errno.ENOSYS))
    with pytest.raises(OSError, match="refused"):
        process.lower_priority()


def test_freed_memory_is_kept_only_where_it_can_be(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    process.keep_freed_memory()
