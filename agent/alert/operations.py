"""What a person does about alerts beside a running agent: silence a rule, end its silence, deliver anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.errors import UsageError
from agent.core.times import instant_after, parse_length
from agent.store import access
from agent.store import alerts as tables
from agent.store.edit import editing

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from agent.config import RuleConfig


def find_rule(rules: Sequence[RuleConfig], name: str) -> RuleConfig:
    """The rule of that name.

    Raises:
        UsageError: SL710, there is none.
    """
    _refuse_unknown(name, (rule.name for rule in rules))
    return next(rule for rule in rules if rule.name == name)


def _refuse_unknown(name: str, names: Iterable[str]) -> None:
    known = sorted(set(names))
    if not known:
        raise UsageError.of("SL710.none", name)
    if name not in known:
        raise UsageError.of("SL710", name, known=", ".join(known))


def silence(
    store: Path, rules: Iterable[RuleConfig], rule: str, *, now: int, duration: str, author: str, comment: str
) -> int:
    """Tell nobody that a rule fires, for a while; a silence that it has is replaced. When (Unix ns) that ends.

    Args:
        store: its path.
        rules: those that are configured; the rules that the agent last ran with are known too.
        rule: its name.
        now: Unix ns.
        duration: how long, as a person writes it.
        author: who wants it.
        comment: why.

    Raises:
        UsageError: SL710 there is no such rule; SL515 the duration is none.
        StoreError: as `store.edit.editing`.
    """
    until, comment = instant_after(now, parse_length(duration)), comment.strip()
    with editing(store) as connection:
        _refuse_unknown(rule, _known(connection, rules))
        tables.silence(connection, rule, created=now, until=until, author=author, comment=comment)
        access.note(connection, now, author, "silence", rule, f"for {duration}{comment and f': {comment}'}")
    return until


def unsilence(store: Path, rules: Iterable[RuleConfig], rule: str, now: int, author: str) -> bool:
    """End a rule's silence; whether there was one.

    Args:
        store: its path.
        rules: as for `silence`.
        rule: its name.
        now: Unix ns.
        author: who wants it.

    Raises:
        UsageError: SL710, there is no such rule.
        StoreError: as `store.edit.editing`.
    """
    with editing(store) as connection:
        ended = tables.unsilence(connection, rule, now)
        if not ended:
            _refuse_unknown(rule, _known(connection, rules))
        access.note(connection, now, author, "end silence", rule)
    return ended


def redeliver(store: Path, delivery: str, now: int, author: str) -> int:
    """Let the agent try a dead delivery anew, by its delivery id (`all`: every dead one); how many there were.

    Args:
        store: its path.
        delivery: its id.
        now: Unix ns.
        author: who wants it.

    Raises:
        UsageError: SL712, there is no such delivery.
        StoreError: as `store.edit.editing`.
    """
    with editing(store) as connection:
        count = tables.redeliver(connection, delivery)
        if not count and delivery != "all":
            raise UsageError.of("SL712", delivery)
        access.note(connection, now, author, "redeliver", delivery)
    return count


def _known(connection: sqlite3.Connection, rules: Iterable[RuleConfig]) -> list[str]:
    return [*tables.load_rules(connection), *(rule.name for rule in rules)]
