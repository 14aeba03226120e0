"""What a ClickHouse's errors mean to who asks it: its numbers, as codes of the catalogue."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.core.errors import SidelogError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from agent.clickhouse.address import ClickHouseAddress

# `Code: 241. DB::Exception: …` of current servers, `Code: 241, e.displayText() = DB::Exception: …` of old ones.
_SAID = lazy(r"Code: (\d+)(?:\.|, e\.displayText\(\) =) (?:DB::\w*Exception|Coordination::Exception|Poco::\w+): ")
_ANY_SAID = lazy(r"Code: (\d+)\b")
_TAIL = lazy(r"(?:, e\.what\(\) = .*|\s*\(version [^()]*(?:\([^()]*\))?\)\s*)$", re.DOTALL)
_SENTENCE = lazy(r"(.{1,300}?)(?:\. |: while |: While |\n|$)", re.DOTALL)

# https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_KEYS = {
    **dict.fromkeys((192, 193, 194, 516), "SL651"),  # unknown user, wrong or missing password
    **dict.fromkeys((291, 492, 497, 512), "SL651.right"),  # a right is missing
    164: "SL651.read-only",  # a user who may only read
    **dict.fromkeys((60, 81), "SL652"),  # table, database
    242: "SL653",  # a replica in read-only mode
    **dict.fromkeys((225, 999, 1000), "SL653"),  # it has lost its ZooKeeper or Keeper
    252: "SL653.parts",  # too many parts, or partitions in one insert
    **dict.fromkeys((279, 285, 286, 287, 289, 319), "SL653.replicas"),  # a shard or replica does not answer
    **dict.fromkeys((209, 210, 425), "SL653.replicas"),  # of its own connections to others
    243: "SL654",
    **dict.fromkeys((115, 42, 46, 62), "SL655"),  # setting, arguments, function, syntax that it does not know
    **dict.fromkeys((16, 36, 47, 10), "SL655.column"),  # a column that its tables do not have
    **dict.fromkeys((158, 307, 396), "SL656.size"),  # rows, bytes
    **dict.fromkeys((159, 160), "SL656.time"),
    241: "SL656.memory",
    **dict.fromkeys((394, 236), "SL656"),  # killed, or the server is stopping
    **dict.fromkeys((202, 745, 439), "SL656.busy"),  # too many at once
}
# What another server of the same address may do better, or the same one at another moment.
_ELSEWHERE = frozenset((202, 209, 210, 225, 236, 242, 243, 279, 285, 319, 425, 439, 745, 999, 1000))


class ClickHouseError(SidelogError):
    """A ClickHouse cannot be reached, or says that it cannot do what was asked. `number` is its own code, 0 where it
    said none.
    """

    number = 0

    @property
    def elsewhere(self) -> bool:
        """Whether another replica may be able to do it."""
        return self.number in _ELSEWHERE or self.code == "SL650"


def said(address: ClickHouseAddress, body: bytes, *, status: int = 200, writing: bool = False) -> ClickHouseError:
    """The error of an answer that is one.

    Args:
        address: who gave it.
        body: the answer.
        status: of HTTP.
        writing: whether it was about an insert, which memory that has run out fails only for now.
    """
    text = body.decode("utf-8", "replace").strip()
    found = _SAID.search(text)
    number = int(found[1]) if found else int(any_[1]) if (any_ := _ANY_SAID.search(text)) else 0
    words = _first_sentence(text[found.end() :] if found else text)
    if not number and status in {401, 403}:
        number = 516
    if not number:
        return _numbered(ClickHouseError.of("SL658.http", address.shown, status=status, said=words or "nothing"), 0)
    key = _KEYS.get(number, "SL658")
    if writing and number == 241:  # noqa: PLR2004 - MEMORY_LIMIT_EXCEEDED
        key = "SL653.memory"
    facts: dict[str, Any] = {"number": number, "said": words, "user": address.user or "default"}
    return _numbered(ClickHouseError.of(key, address.shown, database=address.database, **facts), number)


def _numbered(error: ClickHouseError, number: int) -> ClickHouseError:
    error.number = number
    return error


def _first_sentence(text: str) -> str:
    """What it says in one line, without where in its code."""
    cut = _TAIL.sub("", text).strip()
    match = _SENTENCE.match(cut)
    return " ".join((match[1] if match else cut[:300]).split()).rstrip(".")


def unreachable(address: ClickHouseAddress, url: str, why: object) -> ClickHouseError:
    """SL650: no server of the address answers.

    Args:
        address: whom it was about.
        url: of the last one that was tried.
        why: what the system or the library says.
    """
    others = len(address.urls) - 1
    key = "SL650.all" if others else "SL650"
    return ClickHouseError.of(key, url, why=" ".join(str(why).split()) or type(why).__name__, others=others)


def incomplete(address: ClickHouseAddress, why: object) -> ClickHouseError:
    """SL650.cut: the answer ended before its end."""
    return ClickHouseError.of("SL650.cut", address.shown, why=" ".join(str(why).split()) or type(why).__name__)
