"""Regular expressions that are compiled when they are first used."""

import re
import subprocess
import sys

import pytest

from agent.core.patterns import lazy


def test_a_lazy_pattern_does_what_its_pattern_does():
    text, own, other = "a1 B22", lazy(r"([a-z])(\d+)", re.IGNORECASE), re.compile(r"([a-z])(\d+)", re.IGNORECASE)
    assert [found.groups() for found in own.finditer(text)] == [found.groups() for found in other.finditer(text)]
    assert own.sub("x", text) == other.sub("x", text) == "x x"
    assert own.findall(text) == other.findall(text) == [("a", "1"), ("B", "22")]
    assert own.subn("x", text) == other.subn("x", text)
    assert own.split(text) == other.split(text)
    assert own.match(text, 3)[0] == "B22"
    assert own.search("..") is None
    assert (own.pattern, own.flags, own.groups) == (other.pattern, other.flags, other.groups)
    assert lazy(rb"\d").fullmatch(b"1")


def test_it_is_compiled_at_its_first_use():
    wrong = lazy("(")
    with pytest.raises(re.error):
        wrong.search("")


def test_every_lazy_pattern_of_the_agent_can_be_compiled():
    code = (
        "import importlib, agent.core.patterns as patterns, pkgutil, agent.parse, agent.group\n"
        "for package in (agent.parse, agent.group):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        for value in vars(importlib.import_module(module.name)).values():\n"
        "            if isinstance(value, patterns._Lazy): print(value.groups)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert len(done.stdout.split()) > 50
