"""What may stand for a word of the command line that is free text: names out of the store and the configuration.

Each is found by one short question; what cannot be asked is not offered.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from agent.cli.common import Context
from agent.core.errors import SidelogError
from agent.core.patterns import lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from agent.query.engine import Engine, FieldSummary, LogName

    Offer = Callable[[Context, str], Iterable["CompletionItem[str]"]]

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
MEASURES = ("sum", "avg", "min", "max", "p50", "p95", "p99")
_SAMPLED_EVENTS = 100  # the newest, whose fields are offered: some 10 ms
_VALUES = 30  # of a field
_GROUPS = 50
_TERM = lazy(r"(\(*!?\(*)([^\s=!<>~()]*)(!=|=|>=|<=|>|<)(.*)", re.DOTALL)


class _Offered(click.ParamType[Any]):
    """A type that knows what there is of it; it converts as the parameter's own."""

    name = "offered"

    def __init__(self, inner: click.ParamType[Any], found: Offer) -> None:
        self._inner = inner
        self._found = found

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As the parameter's own type does."""
        return self._inner.convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        """Those that begin with what is there."""
        del param
        found = self._found(ctx.find_root().ensure_object(Context), incomplete)
        return [item for item in found if item.value.startswith(incomplete)]


def offer(cli: click.Group, words: Sequence[str]) -> None:
    """Let the parameters of the commands among the words know what there is of them."""
    context = click.Context(cli)
    for name in {*words} & {*cli.list_commands(context)}:
        command = cli.get_command(context, name)
        if command is not None:
            _attach(command, name)


def _attach(command: click.Command, path: str) -> None:
    for parameter in command.params:
        found = OFFERS.get((path, str(parameter.name)))
        if found is not None and not isinstance(parameter.type, _Offered):
            parameter.type = _Offered(parameter.type, found)
    for name, inner in getattr(command, "commands", {}).items():
        _attach(inner, f"{path} {name}")


# ---------------------------------------------------------------- what there is


def _plain(names: Iterable[str]) -> Iterator[CompletionItem[str]]:
    return map(CompletionItem, names)


def _engine(state: Context) -> contextlib.closing[Engine]:
    from agent.query import open_engine

    config = state.config()
    return contextlib.closing(open_engine(config.store.path, config.archive_directory, archived=False))


def _fields(state: Context) -> list[FieldSummary]:
    from agent.query.language import Query, Selection

    with _engine(state) as engine:
        return engine.fields(Selection(Query()), sample=_SAMPLED_EVENTS, values=_VALUES)


def _logs(state: Context) -> set[LogName]:
    with _engine(state) as engine:
        return engine.logs()


def _targets(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    return _plain(target.name for target in state.config().forward if target.clickhouse)


def _files(_: Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    yield CompletionItem(incomplete, "file")


def _levels(_: Context, __: str) -> Iterator[CompletionItem[str]]:
    return _plain(LEVELS)


def _sources(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    names = {source.name for source in state.config().sources}
    with contextlib.suppress(SidelogError):  # without a store there are those of the configuration
        names |= {log.source for log in _logs(state)}
    return _plain(sorted(names))


def _configured_sources(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    return _plain(source.name for source in state.config().sources)


def _terms(state: Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """A field with its sign, or behind a sign a value of the field."""
    given = _TERM.fullmatch(incomplete)
    if given is None:
        before = incomplete[: len(incomplete) - len(incomplete.lstrip("(!"))]
        for name in _names(state):
            yield CompletionItem(f"{before}{name}=", "open")
        return
    before, field, sign, _ = given.groups()
    for value in _values(state, field):
        yield CompletionItem(f"{before}{field}{sign}{value}")


def _names(state: Context) -> list[str]:
    """The names of fields: those that have one everywhere, and those of the newest events."""
    from agent.query.terms import NAMED_FIELDS

    names = dict.fromkeys(NAMED_FIELDS)
    with contextlib.suppress(SidelogError):  # without a store there are those that have a name everywhere
        names |= dict.fromkeys(field.name for field in _fields(state))
    return [*names]


def _values(state: Context, field: str) -> Iterable[str]:
    from agent.core.groups import STATES

    if field == "severity":
        return LEVELS
    if field == "state":
        return STATES
    if field in {"source", "path"}:
        return sorted({getattr(log, field) for log in _logs(state)})
    import json

    summary = next((one for one in _fields(state) if one.name == field), None)
    found = [json.loads(value) for value, _ in summary.values] if summary else []
    return [value if isinstance(value, str) else json.dumps(value) for value in found]


def _field_list(state: Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    """The last of several fields with commas between."""
    before = incomplete[: incomplete.rfind(",") + 1]
    return _plain(before + name for name in _names(state))


def _measures(state: Context, incomplete: str) -> Iterator[CompletionItem[str]]:
    before = incomplete[: incomplete.rfind(",") + 1]
    function, colon, _ = incomplete.removeprefix(before).partition(":")
    if not colon:
        yield from (CompletionItem(f"{before}{name}:", "open") for name in MEASURES)
        return
    yield from _plain(f"{before}{function}:{name}" for name in _names(state))


def _groups(*states: str) -> Offer:
    def found(state: Context, _: str) -> Iterator[CompletionItem[str]]:
        import time

        from agent.core.groups import GroupFilter

        with _engine(state) as engine:
            groups = engine.groups(GroupFilter(states=states), time.time_ns(), limit=_GROUPS, trends=False)
        for group in groups:
            yield CompletionItem(str(group.id), help=group.title)

    return found


def _categories(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    with _engine(state) as engine:
        known = engine.categories
        known.get(0)  # reads them
        return _plain(sorted({traits.category for traits in known.values()}))


def _services(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    return _plain(_values(state, "service"))


def _rules(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    return (CompletionItem(rule.name, help=rule.match) for rule in state.config().alerts)


def _hooks(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    return _plain(state.config().hooks)


def _archives(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    from agent.archive.directory import archive_files

    return _plain(path.name for path in archive_files(state.config().archive_directory))


def _codes(_: Context, __: str) -> Iterator[CompletionItem[str]]:
    from agent.core import catalogue

    for code in catalogue.codes():
        title = (catalogue.explain(code) or "").partition("\n")[0]
        yield CompletionItem(code, help=title.partition(": ")[2])


def _formats(_: Context, __: str) -> Iterator[CompletionItem[str]]:
    from agent.config.schema import REGISTERED
    from agent.core.named_patterns import NAMED

    yield from _plain(REGISTERED)
    yield from (CompletionItem(name, help=one.about) for name, one in NAMED.items())


def _tokens(state: Context, _: str) -> Iterator[CompletionItem[str]]:
    from agent.store.access import list_tokens
    from agent.store.reader import open_reader

    with contextlib.closing(open_reader(state.config().store.path)) as connection:
        return _plain([token.name for token in list_tokens(connection)])


# By the command's words and the parameter's name.
OFFERS: dict[tuple[str, str], Offer] = {
    ("run", "patterns"): _files,
    ("query", "terms"): _terms,
    ("query", "severity"): _levels,
    ("query", "sources"): _sources,
    ("query", "fields"): _field_list,
    ("query", "by"): _field_list,
    ("query", "agg"): _measures,
    ("errors list", "severity"): _levels,
    ("errors list", "categories"): _categories,
    ("errors list", "services"): _services,
    ("errors show", "group"): _groups(),
    ("errors resolve", "groups"): _groups("new", "ongoing", "regressed", "ignored"),
    ("errors ignore", "groups"): _groups("new", "ongoing", "regressed"),
    ("errors reopen", "groups"): _groups("resolved", "ignored"),
    ("alerts silence", "rule"): _rules,
    ("alerts unsilence", "rule"): _rules,
    ("alerts test", "rule"): _rules,
    ("alerts send-test", "hook"): _hooks,
    ("alerts redeliver", "delivery"): lambda _, __: _plain(["all"]),
    ("archive cat", "name"): _archives,
    ("archive restore", "name"): _archives,
    ("parse", "form"): _formats,
    ("parse", "source"): _configured_sources,
    **{(f"forward {name}", "target"): _targets for name in ("schema", "verify", "backfill")},
    **{(f"alerts {name}", "engine"): _targets for name in ("run", "silence", "unsilence")},
    **{(command, "engine"): _targets for command in ("query", "alerts test", "status", "web", "mcp")},
    **{(f"errors {name}", "engine"): _targets for name in ("list", "show", "diff", "resolve", "reopen", "ignore")},
    ("explain", "code"): _codes,
    ("token revoke", "name"): _tokens,
}
