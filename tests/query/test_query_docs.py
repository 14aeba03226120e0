"""The examples of the documentation are commands that are understood."""

import re
import shlex
from pathlib import Path

import click
import pytest

from agent.cli.query import command, understand
from agent.cli.sql import command as sql_command
from agent.query.render import FORMS

DOCS = (Path(__file__).parents[2] / "docs" / "query.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^ *(sidelog (?:query|sql) .*)$", DOCS, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_understood(example):
    """As the shell would pass it on."""
    _, name, *args = shlex.split(example)
    used = command if name == "query" else sql_command
    with used.make_context(name, args) as context:
        if used is command:
            assert understand(context.params, 1_790_000_000_000_000_000)


def test_every_option_and_form_is_documented():
    """What `--help` knows the documentation knows."""
    names = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    common = {"-c", "--config", "--store", "--set", "--color", "-v", "--verbose", "-q", "--quiet"}
    assert {name for name in names - common if name not in DOCS} == set()
    assert [form for form in FORMS if f"`{form}`" not in DOCS] == []
    assert len(EXAMPLES) > 10
