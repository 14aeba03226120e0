"""docs/reference.md, every command, rule and key, written from the code: `python -m tests.reference_page`.

Commands come from click, keys with their kind, default, bounds and variable from the configuration's schema. What a key
does is taken from its row in docs/configuration.md, which a test compares with the schema.
"""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from agent.config.schema import ANY_DISK, EVER, WHEN_FORMS, Config, WhenConfig, Within
from agent.config.secret import Secret
from agent.core.units import format_duration, format_size
from tests.command_tree import common_options, entries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.command_tree import Entry

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE, CONFIGURATION = DOCS / "reference.md", DOCS / "configuration.md"
_WRITTEN = {  # what the second part of an `Annotated` of the schema means to who writes it
    "duration": "duration",
    "size": "size",
    "share": "share, `5%`",
    "factor": "factor, `4x`",
    "rate": "rate, `1/s`",
    "threshold": "as the threshold of `when`",
    "glob": "pattern of file names",
    "priority": "a priority's name or number",
    "program": "text",
    "addresses": "URL, or a list of them",
}
_PLAIN = {
    int: "number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    Path: "path",
    Secret: "secret",
}
_FORMS = {  # an example of each, as `when` has it
    "count": "{count: 50}",
    "rate": "{rate: 1/s}",
    "ratio": "{ratio: 5%, min: 100}",
    "spike": "{spike: 4x, min: 20}",
    "new_group": "{new_group: true}",
    "regressed": "{regressed: true}",
    "absent": "{absent: true}",
}


class Key(NamedTuple):
    """A key of the configuration."""

    path: str  # `sources[].rotate.size`
    kind: str
    default: str
    bounds: str


def page() -> str:
    """What docs/reference.md has to be."""
    return "\n".join([*_beginning(), *_commands(), *_rules(), *_keys()]) + "\n"


def _beginning() -> Iterator[str]:
    yield from (
        "# Reference: commands, rules, keys",
        "",
        "<!-- made by `make docs` from the code -->",
        "",
        "The same texts as `sidelog COMMAND --help` and the [manual pages](shell.md#manual-pages); the",
        "[card](card.md) has the language of `query` on one page, [codes.md](codes.md) the codes of errors.",
        "",
        "[Commands](#commands) · [Rules](#rules) · [Keys of the configuration](#keys-of-the-configuration)",
        "",
    )


# ---------------------------------------------------------------- commands


def _commands() -> Iterator[str]:
    yield from ("## Commands", "", "Each has these options, before or behind its name:", "")
    yield from _table(("option", "what it does"), common_options())
    for entry in entries():
        yield from _command(entry)


def _command(entry: Entry) -> Iterator[str]:
    yield from (f"### {entry.line}", "", f"    {entry.line} {entry.usage}", "")
    for text in entry.paragraphs:
        yield from (_escaped(text), "")
    if entry.options:
        yield from _table(("option", "what it does"), entry.options)
    yield "```sh"
    width = max(len(example.line) for example in entry.examples)
    yield from (f"{line:{width}}  # {about}" for line, about in entry.examples)
    yield from ("```", "")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for first, *others in rows:
        code = f"`{first.replace('|', chr(92) + '|')}`"
        yield f"| {' | '.join([code, *map(_escaped, others)])} |"
    yield ""


def _escaped(text: str) -> str:
    """A text in which nothing is markup, but what stands in backquotes stays code."""
    parts = text.split("`")
    plain = [part if number % 2 else re.sub(r"([*_<>\[\]])", r"\\\1", part) for number, part in enumerate(parts)]
    return "`".join(plain).replace("|", "\\|")


# ---------------------------------------------------------------- rules


def _rules() -> Iterator[str]:
    meanings = dict(re.findall(r"^\| `\{(\w+): [^|]*\| (.*) \|$", CONFIGURATION.read_text(), re.MULTILINE))
    yield from (
        "## Rules",
        "",
        "The condition of an alert rule, its key `when`, is one of these. [alerts.md](alerts.md) tells the rest.",
        "",
    )
    hints = typing.get_type_hints(WhenConfig, include_extras=True)
    for name in WHEN_FORMS:
        with_min = "; with `min` a number of events" if "min" in _FORMS[name] else ""
        yield from (f"### when: {name}", "", f"Fires when, in the window, {meanings[name]}.", "")
        yield from (
            f"`{name}` is written as {_kind(hints[name]).removesuffix(' or null')}{with_min}.",
            "",
            "```yaml",
            "alerts:",
        )
        match = "" if name in {"new_group", "regressed"} else ", match: 'severity>=error'"
        yield from (f"  - {{name: example{match}, when: {_FORMS[name]}, hooks: [page]}}", "```", "")


# ---------------------------------------------------------------- keys


def _keys() -> Iterator[str]:
    yield from (
        "## Keys of the configuration",
        "",
        "`[]` stands for the place in a list, from 0 on, `NAME` for a name of your choice. Each key can be given as",
        "`--set KEY=VALUE`, and as the variable `SIDELOG_` and its names in capitals with `__` between them.",
        "[configuration.md](configuration.md) has examples, and says how values are written.",
        "",
    )
    meanings = _meanings()
    section = ""
    for key in keys(Config):
        named = re.sub(r"\[\]|\.NAME", "", key.path)
        if named.partition(".")[0] != section:
            section = named.partition(".")[0]
            yield from (f"### {section}", "")
        if named not in meanings:  # a section, whose keys follow
            continue
        default, meaning = meanings[named]
        shown = key.default or default
        facts = [key.kind, *([key.bounds] if key.bounds else []), *_defaulted(shown)]
        yield from (f"#### {key.path}", "", f"{'; '.join(facts)}. Variable `{variable(key.path)}`.", "")
        yield from (f"{meaning[:1].upper()}{meaning[1:]}.", "")


def _defaulted(text: str) -> Iterator[str]:
    if text:
        yield text if text.startswith("required") else f"default: {text}"


def variable(path: str) -> str:
    """The environment variable of a key."""
    return "SIDELOG_" + path.upper().replace("[]", "__0").replace(".", "__")


def _meanings() -> dict[str, tuple[str, str]]:
    """Default and meaning of each key, by its path without places and names, as docs/configuration.md has them."""
    found = {}
    sections = re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", CONFIGURATION.read_text(), re.DOTALL | re.MULTILINE)
    for section, text in sections:
        for key, default, meaning in re.findall(r"^\| `([a-z_.]+)` \| (.*?) ?\| (.*) \|$", text, re.MULTILINE):
            found[f"{section}.{key}"] = (default, meaning.rstrip(".").replace("](#", "](configuration.md#"))
    return found


def keys(struct: type[msgspec.Struct], above: str = "") -> Iterator[Key]:
    """All keys below a struct of the schema, in its order."""
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        path = f"{above}{field.encode_name}"
        yield Key(path, _kind(hint), _default(field, hint), _bounds(hint))
        for inner, step in _structs(hint):
            yield from keys(inner, f"{path}{step}.")


def _structs(hint: Any, step: str = "") -> Iterator[tuple[type[msgspec.Struct], str]]:
    """The sections that a value may be, and what stands behind the key for one of several."""
    origin = typing.get_origin(hint)
    if isinstance(hint, type) and origin is None:
        if issubclass(hint, msgspec.Struct) and hint.__name__.endswith("Config"):
            yield hint, step
        return
    inner = {list: "[]", dict: ".NAME"}.get(origin, step)
    for argument in typing.get_args(hint):
        yield from _structs(argument, inner)


def _kind(hint: Any) -> str:
    """How a value is written, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        named = [_WRITTEN[one] for one in arguments[1:] if isinstance(one, str) and one in _WRITTEN]
        return named[0] if named else _kind(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{one}`" for one in arguments)
    if origin in {types.UnionType, typing.Union}:
        return " or ".join(_kind(one) if one is not type(None) else "null" for one in arguments)
    if origin is list:
        return f"list ({_kind(arguments[0])})"
    if origin is dict:
        return f"mapping ({_kind(arguments[1])})"
    return _PLAIN.get(hint, "mapping")


def _bounds(hint: Any) -> str:
    """The smallest and the largest value, where there are bounds that one may meet."""
    within = next((one for one in _parts(hint) if isinstance(one, Within)), None)
    if within is None:
        return ""
    low, high = _value(within.low, hint), _value(within.high, hint)
    return f"from {low}" if within.high in {EVER, ANY_DISK} else f"{low} to {high}"


def _parts(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        for argument in typing.get_args(hint):
            yield from _parts(argument)
    elif typing.get_origin(hint) is typing.Annotated:
        yield from hint.__metadata__


def _default(field: Any, hint: Any) -> str:
    """The default as it is written; empty where it has to be told in words, or there is none."""
    if field.default_factory in {list, dict}:
        return "none"
    if field.default in {msgspec.NODEFAULT, ""} or isinstance(field.default, msgspec.Struct):
        return ""
    return _value(field.default, hint)


def _value(value: Any, hint: Any) -> str:
    if value is None:
        return ""
    parts = {*(one for one in _parts(hint) if isinstance(one, str))}
    if "duration" in parts:
        return f"`{format_duration(value)}`"
    if "size" in parts:
        return f"`{format_size(int(value)).replace(' ', '')}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:,.0f}`" if isinstance(value, int | float) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page())
