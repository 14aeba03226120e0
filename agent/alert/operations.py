"""What a person does about alerts beside a running agent: silence a rule, end its silence, deliver anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.errors import UsageError
from agent.store import access
from agent.store import alerts as tables
from agent.store.edit import editing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.config import Config, RuleConfig


def find_rule(config: Config, name: str) -> RuleConfig:
    """The rule of that name.

    Raises:
        UsageError: SL710, there is none.
    """
    refuse_unknown(name, _names(config))
    return next(rule for rule in config.alerts if rule.name == name)


def refuse_unknown(name: str, names: Iterable[str]) -> None:
    """Refuse the name of a rule that is not among these.

    Raises:
        UsageError: SL710.
    """
    known = sorted(set(names))
    if not known:
        raise UsageError.of("SL710.none", name)
    if name not in known:
        raise UsageError.of("SL710", name, known=", ".join(known))


def silence(config: Config, rule: str, *, now: int, until: int, author: str, comment: str) -> None:
    """Tell nobody that a rule fires, for a while; a silence that it has is replaced.

    Args:
        config: whose store and rules; the rules that the agent last ran with are known too.
        rule: its name.
        now: Unix ns.
        until: Unix ns.
        author: who wants it.
        comment: why.

    Raises:
        UsageError: SL710, there is no such rule.
        StoreError: as `store.edit.editing`.
    """
    with editing(config.store.path) as connection:
        refuse_unknown(rule, [*tables.load_rules(connection), *_names(config)])
        tables.silence(connection, rule, created=now, until=until, author=author, comment=comment)
        access.note(connection, now, author, "silence", rule, comment)


def unsilence(config: Config, rule: str, now: int, author: str) -> bool:
    """End a rule's silence; whether there was one.

    Args:
        config: as for `silence`.
        rule: its name.
        now: Unix ns.
        author: who wants it.

    Raises:
        UsageError: SL710, there is no such rule.
        StoreError: as `store.edit.editing`.
    """
    with editing(config.store.path) as connection:
        ended = tables.unsilence(connection, rule, now)
        if not ended:
            refuse_unknown(rule, [*tables.load_rules(connection), *_names(config)])
        access.note(connection, now, author, "end silence", rule)
    return ended


def redeliver(config: Config, delivery: str, now: int, author: str) -> int:
    """Let the agent try a dead delivery anew, by its delivery id (`all`: every dead one); how many there were.

    Args:
        config: whose store.
        delivery: its id.
        now: Unix ns.
        author: who wants it.

    Raises:
        UsageError: SL712, there is no such delivery.
        StoreError: as `store.edit.editing`.
    """
    with editing(config.store.path) as connection:
        count = tables.redeliver(connection, delivery)
        if not count and delivery != "all":
            raise UsageError.of("SL712", delivery)
        access.note(connection, now, author, "redeliver", delivery)
    return count


def _names(config: Config) -> list[str]:
    return [rule.name for rule in config.alerts]
