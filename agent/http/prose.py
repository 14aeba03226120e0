"""The long texts of error codes as HTML: headings, paragraphs, lists, code; all that `agent/explain` is written in."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE = re.compile(r"`([^`]+)`")
_ITEM = re.compile(r"(?:- |\d+\. )")
_SAID = re.compile(r"\b(SL\d{3})\b")


def html(text: str) -> Markup:
    """A text of ours, without its title."""
    return Markup("\n").join(_blocks(text.splitlines()[1:]))


def _blocks(lines: list[str]) -> Iterator[Markup]:
    for kind, members in groupby(_pieces(lines), key=lambda piece: piece[0]):
        texts = [text for _, text in members]
        if kind == "item":
            yield Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(inline(t)) for t in texts))
        elif kind == "code":
            yield Markup("<pre>{}</pre>").format("\n".join(texts))
        else:
            shape = Markup("<h2>{}</h2>") if kind == "title" else Markup("<p>{}</p>")
            for one in texts:
                yield shape.format(inline(one))


def _pieces(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Kind and text of each heading, paragraph and item, with the lines that go on with it."""
    open_: list[str] = []
    kind = ""
    for line in [*lines, ""]:
        begins = _ITEM.match(line)
        goes_on = kind in ("text", "item") and line.strip() and not begins and not line.startswith("#")
        if goes_on:
            open_.append(line.strip())
            continue
        if open_:
            yield kind, " ".join(open_)
            open_, kind = [], ""
        if line.startswith("#"):
            yield "title", line.lstrip("# ")
        elif begins:
            open_, kind = [line[begins.end() :].strip()], "item"
        elif line.startswith("    "):
            yield "code", line[4:]
        elif line.strip():
            open_, kind = [line.strip()], "text"


def inline(text: str) -> Markup:
    """A text within a paragraph: code in backticks, links to what codes mean."""
    parts = []
    for index, part in enumerate(_CODE.split(text)):
        shown = escape(part)
        linked = Markup(_SAID.sub(r'<a href="/explain/\1">\1</a>', shown))  # noqa: S704 - escaped above
        parts.append(Markup("<code>{}</code>").format(part) if index % 2 else linked)
    return Markup("").join(parts)
