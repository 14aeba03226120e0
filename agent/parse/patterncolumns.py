"""What a pattern has found in many lines, column by column: a third of the price of one by one.

Groups, severities and records are each made by one call for all lines. The records are those that `textevent` makes of
a head: attributes in the order of their groups, then instant, level, logger and message, as far as they were found.
"""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STATUS = "http.response.status_code"  # of a line without a severity it says one
_KEYS = {"timestamp": "timestamp", "severity": "level", "logger": "logger", "message": "message"}  # of the record
_encoder = msgspec.json.Encoder()


class PatternParts(NamedTuple):
    """What lines hold. `starts` is where the message begins, 0 where it is the whole line."""

    timestamps: Sequence[str | None]
    severities: list[int]
    loggers: Sequence[str | None]
    services: Sequence[str | None]
    starts: list[int]
    messages: Sequence[str]
    records: list[str]


class PatternColumns:
    """How the groups of one pattern become columns.

    Args:
        names: what its groups are, by their numbers.
        roles: the numbers of those that have a role, by role.
        levels: the severities of levels as they are written.
        severity_of_status: of a status code as it is written.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        roles: Mapping[str, int],
        levels: Mapping[str, int],
        severity_of_status: Callable[[str | None], int],
    ) -> None:
        own = {roles[role]: key for role, key in _KEYS.items() if role in roles}
        attributes = {number: names[number] for number in sorted(names) if number not in own}
        fields = {**attributes, **own}
        self._place = {name: place for place, name in enumerate(fields.values())}
        self._groups = methodcaller("group", *fields, 0)  # 0 as well, for one group alone is given without a tuple
        self._message = roles.get("message", 0)
        self._start, self._end = methodcaller("start", self._message), methodcaller("end", self._message)
        self._levels, self._severity_of_status = levels, severity_of_status
        keys = list(dict.fromkeys((*fields.values(), "message")))
        self._row = msgspec.defstruct(
            "Row",
            [(f"f{place}", str | None, None) for place in range(len(keys))],
            rename={f"f{place}": key for place, key in enumerate(keys)},
            omit_defaults=True,
            gc=False,
        )

    def of(self, lines: Sequence[str], matches: Sequence[Any]) -> PatternParts:
        """The columns of lines, at least one, and of what has matched in each."""
        found: list[Sequence[Any]] = list(zip(*map(self._groups, matches), strict=True))
        found.pop()
        for key in ("timestamp", "level", "logger"):
            if key in self._place and "" in (column := found[self._place[key]]):
                found[self._place[key]] = [text or None for text in column]
        messages, starts = self._messages(lines, matches, found)
        nothing: list[None] = [None] * len(lines)
        timestamps, levels, loggers, services = (
            found[self._place[key]] if key in self._place else nothing
            for key in ("timestamp", "level", "logger", "service")
        )
        table, of_status = self._levels, self._severity_of_status
        severities = [table[level] if level else 0 for level in levels]
        if STATUS in self._place and 0 in severities:
            statuses = found[self._place[STATUS]]
            severities = [one or of_status(status) for one, status in zip(severities, statuses, strict=True)]
        if "message" in self._place:
            found[-1] = messages
        else:
            found.append(messages)
        return PatternParts(
            timestamps,
            severities,
            loggers,
            services,
            starts,
            messages,
            _encoder.encode_lines(list(map(self._row, *found))).decode().split("\n")[:-1],
        )

    def _messages(
        self, lines: Sequence[str], matches: Sequence[Any], found: Sequence[Sequence[Any]]
    ) -> tuple[Sequence[str], list[int]]:
        """The messages, and where they begin."""
        if not self._message:
            return lines, [0] * len(lines)
        messages, starts = found[-1], list(map(self._start, matches))
        if min(starts) <= 0:
            for at, start in enumerate(starts):
                if start <= 0:
                    end = self._end(matches[at])
                    starts[at] = 0 if start < 0 or end == len(lines[at]) else end or 1
        if None in messages:
            messages = [line if text is None else text for line, text in zip(lines, messages, strict=True)]
        return messages, starts
