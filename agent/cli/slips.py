"""What a command line that is not understood was to be: the nearest option or command, named instead of guessed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NEAR = 0.7  # of difflib's ratio: `archive` is no slip of `search`
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"  # hyphens, dashes and minus of typeset pages


def near_command(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'query'?`, or nothing when no command is near."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=_NEAR)
    return f", did you mean '{found[0]}'?" if found else ""


def no_such_option(error: click.NoSuchOption, context: click.Context, given: Sequence[str]) -> click.UsageError:
    """The error for an option that is none, with what is near to it.

    Args:
        error: click's.
        context: of the command.
        given: the arguments of the command line.
    """
    name = error.option_name
    if not name.startswith("--"):  # click looks at `-json` letter by letter
        words = (word for word in given if word.startswith("-") and not word.startswith("--") and name[1] in word)
        word = next(words, name).partition("=")[0]
        name = word if f"-{word}" in _names(context) or _as_choice(word[1:], context) else name
    near = _near_option(name, context)
    return click.UsageError(f"no such option '{name}'" + (f", did you mean '{near}'?" if near else ""), context)


def typeset_option(context: click.Context, given: Sequence[str]) -> click.UsageError | None:
    """The error for an option whose dashes a page or a chat has made longer: `—since` would be a word to look for."""
    names = _names(context)
    for word in given:
        if word == "--":
            break
        bare = word.lstrip(f"-{_DASHES}").partition("=")[0]
        meant = f"--{bare}" if len(bare) > 1 else f"-{bare}"
        if word[:1] in _DASHES and word[:1] and meant in names:
            return click.UsageError(f"'{word}' begins with a typeset dash, did you mean '{meant}'?", context)
    return None


def _near_option(name: str, context: click.Context) -> str | None:
    names, bare = _names(context), name.lstrip("-")
    if len(bare) == 1:
        return next((one for one in (f"-{bare}", f"-{bare.swapcase()}") if one in names and one != name), None)
    longs = [one for one in names if one.startswith("--")]
    found = difflib.get_close_matches(f"--{bare.lower()}", longs, n=1, cutoff=_NEAR)
    return _as_choice(bare, context) or next(iter(found), None)


def _as_choice(word: str, context: click.Context) -> str | None:
    """`-o json` for `json`, where that is a value of an option."""
    for option in context.command.get_params(context):
        if isinstance(option, click.Option) and isinstance(option.type, click.Choice) and word in option.type.choices:
            return f"{option.opts[0]} {word}"
    return None


def _names(context: click.Context) -> list[str]:
    options = context.command.get_params(context)
    return [name for one in options if isinstance(one, click.Option) for name in (*one.opts, *one.secondary_opts)]
