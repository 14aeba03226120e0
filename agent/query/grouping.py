"""What to count events by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Grouping(msgspec.Struct, frozen=True):
    """What to count by: fields, time buckets of `every_ns` aligned to the epoch, the `top` largest."""

    by: Sequence[str] = ()
    every_ns: int | None = None
    top: int | None = None
