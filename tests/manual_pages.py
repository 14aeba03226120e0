"""The manual pages of the commands, docs/man/*.1, written from what their help says: `python -m tests.manual_pages`.

One page for `sidelog` and one for each command, with the commands of a group on the group's. The language is man(7), in
the part that groff and mandoc share.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import agent
from agent.core import errors
from tests.command_tree import common_options, entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.command_tree import Entry

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "man"
_DATE = "2026-11-30"  # when somebody has last read the pages as a whole
_SPECIAL = {"\\": "\\e", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", "-": "\\-", '"': "\\(dq"}
_EXITS = (
    (errors.EXIT_DONE, "done"),
    (errors.EXIT_FAILED, "it failed, or a check has found something wrong"),
    (errors.EXIT_USAGE, "wrong usage"),
    (errors.EXIT_STORE, "the store is missing, locked or damaged"),
    (errors.EXIT_CONFIG, "the configuration is wrong"),
)
_ENVIRONMENT = (
    ("SIDELOG_CONFIG", "the configuration to use, where no -c is given"),
    ("SIDELOG_SECTION__KEY", "a key of the configuration, such as SIDELOG_STORE__PATH"),
    ("NO_COLOR", "print without colours"),
    ("TZ", "the zone in which times are shown and read"),
)
_FILES = (
    ("./sidelog.yaml, /etc/sidelog/sidelog.yaml", "the configuration, the first that there is"),
    ("conf.d/*.yaml", "beside it: read after it"),
    ("/var/lib/sidelog/sidelog.db", "the store of the service, and of root"),
    ("~/.local/state/sidelog/sidelog.db", "the store of any other user"),
)


def pages() -> dict[str, str]:
    """What each file of the folder has to be, by its name."""
    top, *rest = entries()
    groups: dict[str, list[Entry]] = {}
    for entry in rest:
        groups.setdefault(entry.path.split()[0], []).append(entry)
    names = [f"sidelog-{name}" for name in groups]
    found = {"sidelog.1": _program(top, [own for own, *_ in groups.values()], names)}
    for name, (own, *below) in groups.items():
        found[f"sidelog-{name}.1"] = _command(own, below)
    return found


def write() -> None:
    """Make the folder what it has to be."""
    FOLDER.mkdir(exist_ok=True)
    wanted = pages()
    for page in FOLDER.glob("*.1"):
        if page.name not in wanted:
            page.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)


def _program(top: Entry, commands: list[Entry], names: list[str]) -> str:
    rows = [(f"\\fBsidelog\\-{literal(one.path)}\\fR(1)", one.short) for one in commands]
    parts = [
        *_head(top, "sidelog"),
        *_section("SYNOPSIS", [f"\\fBsidelog\\fR {_usage(top)}"]),
        *_section("DESCRIPTION", _paragraphs(top.paragraphs)),
        *_section("COMMANDS", _terms(rows)),
        *_section("OPTIONS", ["Every command has these, before or behind its name.", *_options(common_options())]),
        *_options(top.options),
        *_section("EXAMPLES", _examples(top.examples)),
        *_section("EXIT STATUS", _terms((f"\\fB{code}\\fR", text) for code, text in _EXITS)),
        *_section("ENVIRONMENT", _terms((f"\\fB{literal(name)}\\fR", text) for name, text in _ENVIRONMENT)),
        *_section("FILES", _terms((f"\\fI{literal(name)}\\fR", text) for name, text in _FILES)),
        *_section("SEE ALSO", _references(names)),
    ]
    return "\n".join(parts) + "\n"


def _command(own: Entry, below: list[Entry]) -> str:
    parts = [
        *_head(own, f"sidelog-{own.path}"),
        *_section("SYNOPSIS", [f"\\fB{literal(own.line)}\\fR {_usage(own)}"]),
    ]
    for one in below:
        parts += [".br", f"\\fB{literal(one.line)}\\fR {_usage(one)}"]
    parts += _section("DESCRIPTION", _paragraphs(own.paragraphs))
    if below:
        parts.append(".SH COMMANDS")
    for one in below:
        parts += [f".SS \\fB{literal(one.line)}\\fR", *_paragraphs(one.paragraphs), *_options(one.options)]
    known = ["The options of every command are in", ".BR sidelog (1)."]
    parts += _section("OPTIONS", [*known, *_options(own.options)])
    examples = [row for one in (own, *below) for row in one.examples]
    parts += _section("EXAMPLES", _examples(dict.fromkeys(examples)))
    parts += _section("SEE ALSO", _references(["sidelog"]))
    return "\n".join(parts) + "\n"


def _head(entry: Entry, name: str) -> Iterator[str]:
    yield f'.\\" Written by "make docs" from the help of {entry.line}.'
    yield f'.TH {name.upper().replace("-", chr(92) + "-")} 1 "{_DATE}" "sidelog {agent.__version__}" "sidelog"'
    yield from _section("NAME", [f"{literal(name)} \\- {prose(entry.short[:1].lower() + entry.short[1:])}"])


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f".SH {title}"
    yield from lines


def _paragraphs(texts: list[str]) -> Iterator[str]:
    """Those of a section, of which the first needs no macro."""
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield prose(text)


def _usage(entry: Entry) -> str:
    return re.sub(r"[A-Z]{2,}", lambda found: f"\\fI{found[0]}\\fR", literal(entry.usage))


def _options(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Options in bold, what they take slanted."""
    for names, text in rows:
        marked = []
        for name in names.split(", "):
            option, _, value = name.partition(" ")
            marked.append(f"\\fB{literal(option)}\\fR" + (f" \\fI{literal(value)}\\fR" if value else ""))
        yield from _terms([(", ".join(marked), text)])


def _terms(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in rows:
        yield from (".TP", term, prose(text))


def _examples(examples: Iterable[tuple[str, str]]) -> Iterator[str]:
    for number, (line, about) in enumerate(examples):
        if number:
            yield ".PP"
        yield from (f"{prose(about[:1].upper() + about[1:])}:", ".PP", ".RS 4", ".nf", literal(line), ".fi", ".RE")


def _references(names: list[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        yield f".BR {literal(name)} (1)" + ("," if number + 1 < len(names) else "")


def prose(text: str) -> str:
    """A text of words for a line of its own; what stands in backquotes is bold, options keep their hyphens."""
    parts = text.split("`")
    marked = [f"\\fB{literal(part)}\\fR" if number % 2 else _words(part) for number, part in enumerate(parts)]
    return _line("".join(marked))


def _words(text: str) -> str:
    """Words, in which a hyphen is one unless it begins an option."""
    escaped = "".join(_coded(char) if char == "-" else _coded(_SPECIAL.get(char, char)) for char in text)
    return re.sub(r"(?<![\w])-{1,2}(?=[\w])", lambda found: "\\-" * len(found[0]), escaped)


def literal(text: str) -> str:
    """A text as somebody would type it."""
    return _line("".join(_coded(_SPECIAL.get(char, char)) for char in text))


def _coded(text: str) -> str:
    return text if text.isascii() else f"\\[u{ord(text):04X}]"


def _line(text: str) -> str:
    """A line that is no request, whatever it begins with."""
    return f"\\&{text}" if text[:1] in {".", "'"} else text


if __name__ == "__main__":
    write()
