"""What pages and the API ask besides events, and what no command prints as it is: rules, deliveries, what is behind an
error.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from orjson import Fragment

from agent.alert.operations import find_rule
from agent.answers import parameters as of
from agent.core.errors import SidelogError
from agent.core.groups import GroupFilter
from agent.core.values import whole_number
from agent.query.fragments import encode
from agent.query.groups import group_samples
from agent.query.language import Selection, all_equal
from agent.query.predicate import compile_pattern, grep_pattern
from agent.query.render import document as event_document
from agent.store.access import entries
from agent.store.reader import open_reader
from agent.views import alerts as alert_views
from agent.views import encode_document, iso
from agent.views.error_origin import origin_document
from agent.views.error_table import history_rows, table_document
from agent.views.samples import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.answers.parameters import Parameter
    from agent.answers.place import Place
    from agent.core.groups import ErrorGroup
    from agent.query.engine import Engine

_DAY_NS = 86_400 * 10**9


def _table(
    place: Place,
    *,
    state: list[str],
    category: list[str],
    service: list[str],
    grep: str | None,
    sort: str,
    limit: int,
    offset: int,
) -> Iterator[bytes]:
    title = compile_pattern(grep_pattern(grep)) if grep else None
    wanted = GroupFilter(states=state, categories=category, services=service, title=title)
    with place.engine() as engine:
        yield encode_document(table_document(engine, wanted, place.now, sort=sort, limit=limit, offset=offset))


def _origin(place: Place, *, id: str) -> Iterator[bytes]:  # noqa: A002 - the parameter's name
    with place.engine() as engine:
        yield encode_document(origin_document(engine, _group(engine, id, place.now)))


def _samples(place: Place, *, id: str, since: int | None, until: int | None, limit: int) -> Iterator[bytes]:  # noqa: A002 - as above
    with place.engine() as engine:
        number = _group(engine, id, place.now).id
        if since is None:
            events = group_samples(engine, number)
        else:
            selection = Selection(all_equal("group", [str(number)]), since, until)
            with closing(engine.events(selection, limit, newest_first=True)) as found:
                events = list(found)
        differs = differences(events)
        rows = [{"event": Fragment(encode(event_document(one))), "differs": differs[one.id]} for one in events]
    yield encode_document(rows)


def _group_history(place: Place, *, id: str) -> Iterator[bytes]:  # noqa: A002 - as above
    with place.engine() as engine:
        group = _group(engine, id, place.now)
    with closing(open_reader(place.store)) as connection:
        yield encode_document(history_rows(connection, group))


def _group(engine: Engine, text: str, now: int) -> ErrorGroup:
    """The group with an id.

    Raises:
        SidelogError: SL540, there is none.
    """
    number = whole_number(text)
    found = [] if number is None else engine.groups(GroupFilter(group=number), now, trends=False)
    if not found:
        raise SidelogError.of("SL540", text)
    return found[0]


def _test(
    place: Place, *, rule: str, threshold: float | None, since: int | None, until: int | None, steps: int
) -> Iterator[bytes]:
    config = find_rule(place.rules, rule)
    end = place.now if until is None else until
    begin = end - 7 * _DAY_NS if since is None else since
    if begin >= end:
        raise SidelogError.of("SL514", iso(begin))
    with place.engine() as engine:
        yield encode_document(alert_views.back_test(engine, config, begin, end, threshold=threshold, steps=steps))


def _deliveries(place: Place, *, limit: int) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        yield encode_document(alert_views.deliveries(connection, limit))


def _changes(place: Place, *, limit: int) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        rows = entries(connection, limit)
    yield encode_document(
        [
            {"time": iso(row.time), "who": row.who, "action": row.action, "subject": row.subject, "detail": row.detail}
            for row in rows
        ]
    )


PAGE_QUESTIONS: dict[str, tuple[Sequence[Parameter], Callable[..., Iterator[bytes]]]] = {
    "error_table": ((of.STATE, of.CATEGORY, of.SERVICE, of.GREP, of.SORT, of.MOST, of.OFFSET), _table),
    "origin": ((of.ID,), _origin),
    "samples": ((of.ID, of.SINCE, of.UNTIL, of.MOST), _samples),
    "group_history": ((of.ID,), _group_history),
    "alert_test": ((of.RULE, of.THRESHOLD, of.SINCE, of.UNTIL, of.STEPS), _test),
    "deliveries": ((of.MOST,), _deliveries),
    "changes": ((of.MOST,), _changes),
}
