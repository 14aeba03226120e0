"""What a worker answers, question by question: documents of `views` and events of an `Engine`, as bytes in parts."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw

from agent.answers import parameters as of
from agent.answers.page_questions import PAGE_QUESTIONS
from agent.core.errors import HttpError, SidelogError, UsageError
from agent.core.groups import GroupFilter
from agent.core.severity import number_range
from agent.core.values import whole_number
from agent.query.aggregate import buckets, row_object
from agent.query.context import Surroundings, in_context
from agent.query.fragments import encode
from agent.query.language import Grouping, Query, Selection, all_equal, parse_query, severity_query
from agent.query.measures import measured, number_text, read_measures
from agent.query.predicate import compile_pattern, grep_pattern
from agent.query.reasons import reasons
from agent.query.render import Output
from agent.query.render import document as event_document
from agent.query.terms import Term
from agent.store.reader import open_reader
from agent.views import alerts as alert_views
from agent.views import encode_document
from agent.views.archives import list_archives
from agent.views.audit import audit_books, audit_document, audit_files
from agent.views.error_diff import compare, compared_sides
from agent.views.errors import group_document, view_document, view_group
from agent.views.status import SECOND_LOOK_S, look

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from agent.answers.parameters import Parameter
    from agent.answers.place import Place
    from agent.query.engine import Engine
    from agent.query.render import Render

_PART_BYTES = 57_344  # a row more, and it still is one frame of a worker
_FIRST_ROWS = 64  # so many rows go at once even where they are short: the first ones are to be seen soon
_LOOK_INTERVAL_S = 0.1


class Note(bytes):
    """A part of an answer that is not its document: what of it could not be read, as `SidelogError.document` has it."""

    __slots__ = ()


class Question(NamedTuple):
    """What can be asked: the parameters, and what answers given their values."""

    parameters: Sequence[Parameter]
    answer: Callable[..., Iterator[bytes]]


def selection_of(asked: dict[str, Any]) -> Selection:
    """What the parameters of `parameters.EVENTS` choose."""
    query = parse_query(asked["q"])
    if asked["severity"]:
        query = query & severity_query(asked["severity"])
    query = query & all_equal("source", asked["source"])
    if asked.get("grep"):
        compile_pattern(asked["grep"])
        query = query & Query((Term("message", "~", grep_pattern(asked["grep"])),))
    return Selection(query, asked.get("since"), asked.get("until"))


def _query(place: Place, *, limit: int, order: str, tier: str, **asked: Any) -> Iterator[bytes]:
    with place.engine(tier) as engine:
        more = yield from _parts(
            engine, selection_of(asked), limit, order, lambda event: encode(event_document(event)) + b"\n"
        )
        if more:
            yield _last_line(HttpError.of("SL907.rows", "query", rows=f"{limit:,}"))
        yield from map(_last_line, engine.errors)


def _table(place: Place, *, limit: int, order: str, tier: str, fields: list[str], **asked: Any) -> Iterator[bytes]:
    """Events as CSV, the same as `sidelog query -o csv --csv-safe`."""
    with place.engine(tier) as engine:
        selection = selection_of(asked)  # what is wrong with it is said before the header
        output = Output(form="csv", fields=fields, csv_safe=True, categories=engine.categories)
        yield output.header()
        yield from _parts(engine, selection, limit, order, output.renderer())


def _parts(
    engine: Engine, selection: Selection, limit: int, order: str, render: Render
) -> Generator[bytes, None, bool]:
    """Events as a worker sends them; whether there are more than anybody may have."""
    newest = order == "newest"
    wanted = limit + (limit == of.MOST_ROWS)  # one more says that there are more
    with closing(engine.events(selection, wanted if newest else None, newest_first=newest)) as events:
        part, size = [], 0
        for number, event in enumerate(islice(events, limit), 1):
            part.append(render(event))
            size += len(part[-1])
            if size >= _PART_BYTES or number == _FIRST_ROWS:
                yield b"".join(part)
                part, size = [], 0
        if part:
            yield b"".join(part)
        return limit == of.MOST_ROWS and next(events, None) is not None


def _last_line(error: SidelogError) -> bytes:
    """A line behind all events: what is missing, and why."""
    return encode({"error": error.document()}) + b"\n"


def _notes(engine: Engine) -> Iterator[bytes]:
    """What of an answer could not be read. It comes before the document, whose headers have it."""
    if engine.errors:
        yield Note(encode([one.document() for one in engine.errors]))


def _counts(
    place: Place, *, by: list[str], every: int | None, top: int | None, agg: str, tier: str, **asked: Any
) -> Iterator[bytes]:
    grouping = Grouping(tuple(by), every, top)
    if top is not None and not by:
        raise UsageError.of("SL518.top", top)
    measures = read_measures(agg) if agg else ()
    selection = selection_of(asked)
    with place.engine(tier) as engine:
        if measures:
            found = []
            for row in measured(engine, selection, grouping, measures):
                numbers = [None if one is None else Raw(number_text(one).encode()) for one in row.numbers]
                named = dict(zip((measure.text for measure in measures), numbers, strict=True))
                found.append({**row_object(row.bucket, grouping), **named})
        else:
            found = [row_object(row, grouping) for row in buckets(engine.counts(selection, grouping), grouping)]
        if len(found) > of.MOST_ROWS:
            raise HttpError.of("SL904.rows", "counts", rows=f"{len(found):,}", most=f"{of.MOST_ROWS:,}")
        yield from _notes(engine)
        yield encode(found)


def _fields(place: Place, *, values: int, sample: int, tier: str, **asked: Any) -> Iterator[bytes]:
    with place.engine(tier) as engine:
        found = []
        for one in engine.fields(selection_of(asked), sample=sample, values=values):
            counted = [{"value": Raw(value), "count": count} for value, count in one.values]
            found.append({"field": one.name, "count": one.count, "values": counted})
        yield from _notes(engine)
        yield encode(found)


def _reasons(place: Place, *, tier: str, **asked: Any) -> Iterator[bytes]:
    with place.engine(tier) as engine:
        found = [one.document() for one in reasons(engine, selection_of(asked))]
        yield from _notes(engine)
        yield encode(found)


def _context(place: Place, *, id: str, lines: int) -> Iterator[bytes]:  # noqa: A002 - the parameter's name
    text, _, agent = id.partition("@")  # whose it is, where the events of several agents are together
    number = whole_number(text.removeprefix("-"))
    if number is None:
        raise SidelogError.of("SL912", id)
    with place.engine() as engine:
        event = engine.event(-number if text.startswith("-") else number, agent or None)
        if event is None:
            raise SidelogError.of("SL912", id)
        stretches = in_context(engine, [event], Surroundings(lines, lines), engine.position())
        found = [event_document(one) for stretch in stretches for one in stretch]
        yield from _notes(engine)
        yield encode(found)


def _errors(
    place: Place,
    *,
    state: list[str],
    severity: str | None,
    category: list[str],
    service: list[str],
    grep: str | None,
    since: int | None,
    until: int | None,
    sort: str,
    reverse: bool,
    limit: int,
) -> Iterator[bytes]:
    wanted = GroupFilter(
        states=state,
        severities=number_range(severity) if severity else None,
        categories=category,
        services=service,
        title=compile_pattern(grep_pattern(grep)) if grep else None,
        since=since,
        until=until,
    )
    with place.engine() as engine:
        groups = engine.groups(wanted, place.now, sort=sort, reverse=reverse, limit=limit)
        yield encode_document([group_document(group) for group in groups])


def _error(place: Place, *, id: str) -> Iterator[bytes]:  # noqa: A002 - the parameter's name
    number = whole_number(id)
    if number is None:
        raise SidelogError.of("SL540", id)
    with place.engine() as engine:
        document = encode_document(view_document(view_group(engine, number, place.now)))
        yield from _notes(engine)
        yield document


def _diff(place: Place, *, at: int | None, before: int, after: int, label: str, against: str | None) -> Iterator[bytes]:
    sides = compared_sides(place.now, at, before, after, label=label or None, against=against)
    with place.engine() as engine:
        document = compare(engine, *sides, place.now).document()
        yield from _notes(engine)
        yield encode_document(document)


def _alerts(place: Place) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        yield encode_document(alert_views.list_states(connection, place.now, place.rules))


def _history(place: Place) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        yield encode_document(alert_views.history(connection))


def _status(place: Place) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        snapshot = look(connection, place.store, place.now)
        end = time.monotonic() + SECOND_LOOK_S
        while snapshot.is_doubtful and time.monotonic() < end:
            time.sleep(_LOOK_INTERVAL_S)
            snapshot.look_again(connection)
        yield encode_document(snapshot.document())


def _audit(place: Place, *, compare: bool) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        files = audit_files(connection, place.store) if compare else audit_books(connection, place.store)
        yield encode_document([audit_document(file) for file in files])


def _archives(place: Place) -> Iterator[bytes]:
    with closing(open_reader(place.store)) as connection:
        yield encode_document(list_archives(connection, place.archives))


QUESTIONS: dict[str, Question] = {
    "query": Question((*of.EVENTS, of.LIMIT, of.ORDER), _query),
    "table": Question((*of.EVENTS, of.LIMIT, of.ORDER, of.FIELDS), _table),
    "counts": Question((*of.EVENTS, of.BY, of.EVERY, of.AGG, of.TOP), _counts),
    "fields": Question((*of.EVENTS, of.VALUES, of.SAMPLE), _fields),
    "reasons": Question(of.EVENTS, _reasons),
    "context": Question((of.ID, of.LINES), _context),
    "errors": Question(of.GROUPS, _errors),
    "diff": Question(of.SIDES, _diff),
    "error": Question((of.ID,), _error),
    "alerts": Question((), _alerts),
    "history": Question((), _history),
    "status": Question((), _status),
    "archives": Question((), _archives),
    "audit": Question((of.COMPARE,), _audit),
    **{name: Question(*asked) for name, asked in PAGE_QUESTIONS.items()},
}


def answer(place: Place, name: str, texts: dict[str, list[str]]) -> Iterator[bytes]:
    """The parts of an answer.

    Args:
        place: what is asked.
        name: of the question.
        texts: of its parameters.

    Raises:
        SidelogError: a text cannot be read, or what is asked cannot be answered.
    """
    question = QUESTIONS[name]
    return question.answer(place, **of.read_texts(question.parameters, texts, place.now))
