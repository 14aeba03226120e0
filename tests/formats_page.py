"""The families of docs/formats.md, written from the cases that test them: `python -m tests.formats_page`.

A case of `tests/cases/*.toml` with the key `family` is shown: its lines, and what they become.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.core.fields import load_record, read_fields
from agent.core.model import FileGeneration, LineBatch
from agent.parse.decode import FileParser
from tests.sources import parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.core.model import EventBatch

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "formats.md"
BEGIN, END = "<!-- made by `make docs` from tests/cases -->", "<!-- made until here -->"
OBSERVED = 1_795_327_455_000_000_000  # 2026-11-22T06:04:15Z
_LONGEST_VALUE = 60  # characters of an attribute that are shown
_NAMES = {1: "TRACE", 5: "DEBUG", 9: "INFO", 13: "WARN", 17: "ERROR", 21: "FATAL"}


def families() -> Iterator[tuple[str, dict[str, Any]]]:
    """The cases that are shown, with the names of their families, in order."""
    for path in sorted((ROOT / "tests" / "cases").glob("*.toml")):
        for case in tomllib.loads(path.read_text())["case"]:
            if "family" in case:
                yield case["family"], case


def page() -> str:
    """What docs/formats.md has to be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n\n{shown()}\n{END}{rest.partition(END)[2]}"


def shown() -> str:
    """The families as Markdown, each under its name: lines, then an item for each event."""
    parts: dict[str, list[str]] = {}
    for family, case in families():
        lines = "".join(f"    {_visible(line)}\n" for line in case["input"].splitlines())
        settings = case.get("settings", {})
        title = f"With `{_settings(settings)}`:\n\n" if settings else ""
        parts.setdefault(family, []).append(f"{title}{lines}\n{_events(case)}")
    return "\n".join(part for family, found in parts.items() for part in (f"### {family}\n", *found))


def _events(case: dict[str, Any]) -> str:
    parser = FileParser(parsing(**case.get("settings", {})))
    file = FileGeneration(1, "shop", "/var/log/shop/app.log", 0, 0, 0)
    out = parser.feed(LineBatch(file, 0, case["input"].encode(), OBSERVED, final=True))
    return "".join(f"- {_event(out, row, parser)}\n" for row in range(len(out)))


def _event(out: EventBatch, row: int, parser: FileParser) -> str:
    record = load_record(out.records[row])
    fields = read_fields(record, parser.profile)
    observed = out.timestamps[row] == OBSERVED
    parts = ["no instant of its own" if observed else _instant(out.timestamps[row]), _level(out.severities[row])]
    if out.loggers[row] is not None:
        parts.append(f"logger `{out.loggers[row]}`")
    parts.append(f"message {_code(fields.body or '')}")
    attributes = sorted(_flat(fields.attributes(record)))
    parts.extend(f"`{name}` {_code(value)}" for name, value in attributes if name != "logger")
    if row in out.parse_errors and not observed:
        parts.append(f"`parse_error` {_code(out.parse_errors[row])}")
    return "; ".join(parts)


def _flat(attributes: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in attributes.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _instant(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _level(number: int) -> str:
    if number == 0:
        return "no severity"
    base = (number - 1) // 4 * 4 + 1
    return _NAMES[base] + (f"{number - base + 1}" if number > base else "")


def _code(value: object) -> str:
    text = _visible(str(value).replace("\n", "⏎"))
    text = text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else f"\\x{ord(char):02x}" for char in text)


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in settings.items())


if __name__ == "__main__":
    PAGE.write_text(page())
