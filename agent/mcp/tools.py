"""The tools: which questions there are, what may be given to each, and how much each answers at the most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from agent.answers import parameters as of
from agent.core.errors import HttpError
from agent.core.values import whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent.answers.parameters import Parameter

_LANGUAGE = (
    'A word or "quoted phrase" (in the text of the event), FIELD=VALUE, !=, >, >=, <, <=, FIELD~REGEX, FIELD=A* (how a'
    " value begins), FIELD=* (any value), !TERM; all must hold; A OR B and parentheses. FIELD is severity, logger,"
    " service, source, path, message, trace_id, span_id, group, category, state, or a path into the line such as"
    " http.status. Example: severity>=error service=shop timeout"
)


class Tool(NamedTuple):
    """One tool.

    Its bounds are those of numbers by parameter: what is taken where nothing is given, and the most.
    """

    question: str
    description: str
    parameters: Sequence[Parameter] = ()
    bounds: Mapping[str, tuple[int, int]] = {}
    explained: bool = False  # an empty answer says why, where names in the question exist nowhere


TOOLS: dict[str, Tool] = {
    "search": Tool(
        "query",
        "Events of logs that match, the newest first. One JSON object a line.",
        (*of.EVENTS, of.LIMIT, of.ORDER),
        {"limit": (50, 200)},
        explained=True,
    ),
    "counts": Tool(
        "counts",
        "How many events match, by values of fields and buckets of time, with aggregates of numbers. The quickest way"
        " to see where something happens, and since when: by=service, every=5m.",
        (*of.EVENTS, of.BY, of.EVERY, of.AGG, of.TOP),
        {"top": (50, 500)},
        explained=True,
    ),
    "fields": Tool(
        "fields",
        "Which fields the newest matching events have, with the commonest values of each: what a query can name.",
        (*of.EVENTS, of.VALUES),
        {"values": (5, 20)},
    ),
    "context": Tool(
        "context",
        "The lines of the same log around an event, by the id that a search gave.",
        (of.ID, of.LINES),
        {"lines": (10, 100)},
    ),
    "errors": Tool(
        "errors",
        "Groups of alike errors with their number, trend, state, first and last appearance.",
        of.GROUPS,
        {"limit": (20, 200)},
    ),
    "error": Tool(
        "error",
        "All about one group of errors, by its id: stack trace, samples, services, the events of the same trace.",
        (of.ID,),
    ),
    "errors_diff": Tool(
        "diff",
        "Which errors are new, gone or changed since a moment (at), or in events with a value (label), such as a"
        " version.",
        of.SIDES,
    ),
    "alerts": Tool("alerts", "Alert rules with their state, value and threshold."),
    "status": Tool("status", "The health of the log agent: files and how far behind it is, gaps, its own problems."),
}


def input_schema(tool: Tool) -> dict[str, Any]:
    """What a tool takes, as JSON Schema."""
    properties = {one.name: _schema(tool, one) for one in tool.parameters}
    required = [one.name for one in tool.parameters if one.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema(tool: Tool, one: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": one.schema} if one.repeated else dict(one.schema)
    if one.name in tool.bounds:
        default, most = tool.bounds[one.name]
        schema |= {"maximum": most} | ({"default": default} if "default" in one.schema else {})
    return schema | {"description": f"{one.description} {_LANGUAGE}" if one.name == "q" else one.description}


def read_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts of a question's parameters.

    Raises:
        HttpError: SL904, an argument is not known, missing, too long or too large.
    """
    given = [(name, text) for name, value in arguments.items() if value is not None for text in _texts(value)]
    texts = of.check_names(tool.parameters, given)
    for name, (default, most) in tool.bounds.items():
        if name not in texts:
            if "by" not in texts and name == "top":  # there is nothing to take the largest of
                continue
            texts[name] = [str(default)]
        if whole_number(texts[name][0], most) is None:
            raise HttpError.of("SL904.number", texts[name][0], low=0, high=most)
    return texts


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [str(value).lower() if isinstance(value, bool) else str(value)]
