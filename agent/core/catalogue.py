r"""The catalogue of errors: what each code says in one sentence, what heals it, and its long text, all in one file.

`agent/explain/SL820.md` begins with its title, and below it, indented by four, with what `SidelogError.of` takes:

    # SL820: a log cannot be rotated

        operation: rotate a log
        sentence: {path} cannot be rotated: {why}
        hint: it goes on as it is, and is tried again
        hint.denied: let the agent's user write in its directory
        retryable: yes

A code that is raised for several reasons has variants: `SL820.denied` takes each key that ends in `.denied`, and the
plain one where there is none. What the system refuses chooses its variant itself (`agent.core.errors.REASONS`).

Words in braces are facts that the place of the error gives, in the manner of `str.format`. A line that is indented
further continues the one before it. The rest is what `sidelog explain` prints.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from agent.core.patterns import lazy

_FOLDER = Path(__file__).parent.parent / "explain"
_KEY = lazy(r"(operation|sentence|hint|retryable)(\.[a-z0-9-]+)?: ?(.*)", re.DOTALL)
_CODE = lazy(r"SL\d{3}")
_INDENT = "    "


class Words(NamedTuple):
    """What an error says: templates for `str.format_map`."""

    operation: str
    sentence: str
    hint: str
    retryable: bool


_read: dict[str, dict[str, str]] = {}  # code -> key with its variant -> template


def words(key: str, reason: str = "") -> Words:
    """What a code, or a variant of it, says.

    Args:
        key: `SL820` or `SL820.denied`.
        reason: the variant to take where the key names none, if the code has it.

    Raises:
        KeyError: the catalogue has no such code, or nothing for the variant.
        OSError: the file cannot be read.
    """
    code, _, variant = key.partition(".")
    known = _read.get(code)
    if known is None:
        known = _read[code] = parse((_FOLDER / f"{code}.md").read_text(encoding="utf-8"))
    variants = {name.partition(".")[2] for name in known}
    if variant and variant not in variants:
        raise KeyError(key)
    if not variant and reason in variants:
        variant = reason

    def said(name: str) -> str:
        return known.get(f"{name}.{variant}") or known.get(name, "")

    if not said("sentence"):
        raise KeyError(key)
    return Words(said("operation"), said("sentence"), said("hint"), said("retryable") == "yes")


def parse(text: str) -> dict[str, str]:
    """The templates at the head of a code's file, by key and variant: `hint.denied`.

    Raises:
        ValueError: a line of the head is none of these.
    """
    lines: list[str] = []
    for line in _head(text):
        if line.startswith(_INDENT + " "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.strip())
    found: dict[str, str] = {}
    for line in lines:
        match = _KEY.fullmatch(line)
        if match is None:
            raise ValueError(f"no key of the catalogue: {line!r}")
        found[match[1] + (match[2] or "")] = match[3]
    return found


def _head(text: str) -> list[str]:
    """The indented lines below the title."""
    lines = text.splitlines()[1:]
    while lines and not lines[0]:
        lines = lines[1:]
    end = next((index for index, line in enumerate(lines) if not line.startswith(_INDENT)), len(lines))
    return lines[:end]


def load() -> None:
    """Read all of it: an agent without a file descriptor left, or upgraded under way, must still be able to say so."""
    for code in codes():
        words_of = parse((_FOLDER / f"{code}.md").read_text(encoding="utf-8"))
        _read.setdefault(code, words_of)


def explain(code: str) -> str | None:
    """The long text of an error code (Markdown), or None where there is no such code."""
    name = code.strip().upper()
    path = _FOLDER / f"{name}.md"
    if _CODE.fullmatch(name) is None or not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    head = _head(text)
    lines = rest.lstrip("\n").splitlines()[len(head) :]
    return f"{title}\n" + "\n".join(lines) + "\n" if head else text


def codes() -> list[str]:
    """All codes, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("SL*.md"))
