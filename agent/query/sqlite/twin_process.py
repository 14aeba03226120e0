"""The process of `twin`: it counts the blocks that it is given."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import msgspec

from agent.core.errors import SidelogError
from agent.core.process import die_with_owner
from agent.query.columns import UnfitError
from agent.query.language import Grouping, Selection, parse_query
from agent.query.sqlite.counts import bulk_count
from agent.query.sqlite.scan import EventScan
from agent.query.sqlite.twin import MORE, TwinCounts, TwinRequest
from agent.store.reader import open_reader


def main() -> None:
    """Count until there is no block left, and say what was counted.

    Raises:
        SidelogError: the store cannot be read.
        UnfitError, msgspec.MsgspecError: the question cannot be answered so.
    """
    die_with_owner()
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=TwinRequest)
    selection = Selection(parse_query(request.query), request.since, request.until)
    with closing(open_reader(Path(request.path))) as connection:
        counting = bulk_count(
            EventScan(connection, selection, request.last_id), Grouping(tuple(request.by), request.every_ns)
        )
        while spans := _asked():
            counting.add_spans(spans)
        counts = counting.resolved()
    counted: TwinCounts = [
        (bucket, [None if value is None else value.decode() for value in values], count)
        for (bucket, values), count in counts.items()
    ]
    _say(msgspec.json.encode(counted) + b"\n")


def _asked() -> list[tuple[int, int]]:
    """The next blocks; none are left where it is empty."""
    _say(MORE)
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=list[tuple[int, int]])


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except (SidelogError, UnfitError, msgspec.MsgspecError, OSError):
        os._exit(1)  # its owner has gone, or counts these blocks itself
