"""How much anybody may ask: buckets of tokens (the algorithm, RFC 2697 has one) by token or address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_KEYS = 10_000  # addresses and tokens remembered: those that came last


def network_of(address: str) -> str:
    """An address as limits know it: of IPv6 the network that one customer has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:  # as a socket for both names those that came by IPv4
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Rate(NamedTuple):
    """So many a second, and at once so many more."""

    per_second: float
    burst: int


BY_TOKEN = Rate(50, 200)
BY_ADDRESS = Rate(10, 50)
FAILED = Rate(5 / 60, 5)  # tokens and links that open nothing


class RateLimit:
    """Counts what each key does.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: OrderedDict[tuple[Rate, str], tuple[float, float]] = OrderedDict()  # what is left, and when

    def take(self, rate: Rate, key: str) -> int:
        """Take one; 0 where it may be, else the seconds until one may be again."""
        left = self._left(rate, key)
        if left < 1:
            return max(1, math.ceil((1 - left) / rate.per_second))
        self._set(rate, key, left - 1)
        return 0

    def wait_s(self, rate: Rate, key: str) -> int:
        """As `take`, without taking."""
        left = self._left(rate, key)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / rate.per_second))

    def _left(self, rate: Rate, key: str) -> float:
        level, since = self._levels.get((rate, key), (float(rate.burst), self._clock()))
        return min(rate.burst, level + (self._clock() - since) * rate.per_second)

    def _set(self, rate: Rate, key: str, left: float) -> None:
        self._levels[rate, key] = (left, self._clock())
        self._levels.move_to_end((rate, key))
        if len(self._levels) > _MOST_KEYS:
            self._levels.popitem(last=False)
