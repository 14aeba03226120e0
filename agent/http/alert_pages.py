"""The page of alerts: rules with their values, silences, deliveries, and when a rule would have fired."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from starlette.routing import Route

from agent.alert.replay import has_threshold
from agent.alert.rules import compile_rule, condition, facts_of, shown_key, shown_value
from agent.core.errors import HttpError, SidelogError
from agent.core.times import parse_time
from agent.core.units import parse_seconds
from agent.http import charts, spans
from agent.http.drawing import Frame, back, is_renewal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from agent.config import RuleConfig

_STEPS = 120  # moments of the chart
_TEST_S = 12.0  # after so long the page does without it
_HISTORY, _DELIVERIES = 100, 100
_WINDOWS = 12  # that the chart has of itself …
_LEAST_S, _MOST_S = 3_600, 7 * 86_400  # … within these
_SPANS = spans.CHOICES[1:]
_SEVERE = {"firing": 0, "pending": 1}
_DONE = {
    "silence": "The rule was silenced.",
    "unsilence": "The silence was ended.",
    "redeliver": "It will be tried by the running agent.",
}


class AlertPages(Frame):
    """`/alerts`."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/alerts", self.alerts, methods=["GET"]),
            Route("/alerts", self.change, methods=["POST"]),
        ]

    async def alerts(self, request: Request) -> Response:
        """Rules and their state, one of them with its value over time and a test of its threshold."""
        given = request.query_params
        states, history, deliveries = await asyncio.gather(
            self._ask("alerts"), self._ask("history"), self._ask("deliveries", limit=_DELIVERIES)
        )
        rules = rule_rows(self._settings.rules, states)
        chosen = _chosen(rules, given.get("rule", ""))
        return self._draw(
            request,
            "alerts.html",
            rules=rules,
            chosen=chosen,
            test=await self._test(chosen, given) if chosen and chosen["config"] and not is_renewal(request) else None,
            history=[_past(row, rules) for row in history[: -_HISTORY - 1 : -1]],
            deliveries=deliveries,
            spans=_SPANS,
            said=_said(given.get("done", ""), chosen),
        )

    async def _test(self, rule: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
        """The rule's values over time and its firings, with the threshold that was asked for."""
        config: RuleConfig = rule["config"]
        length_s = min(_MOST_S, max(_LEAST_S, _WINDOWS * config.window))
        since = given.get("since") or _span_of(length_s)
        threshold = given.get("threshold", "")
        shown: dict[str, Any] = {"since": since, "threshold": threshold, "error": None, "found": None}
        try:
            async with asyncio.timeout(_TEST_S):
                found = await self._ask("alert_test", rule=config.name, since=since, threshold=threshold, steps=_STEPS)
        except TimeoutError:
            shown["error"] = HttpError.of("SL907.test", config.name, seconds=round(_TEST_S))
            return shown
        except SidelogError as error:
            shown["error"] = error
            return shown
        limit = found["threshold"]
        form = config.when.form
        for firing in found["firing"]:
            firing |= {"words": shown_key(firing["key"]), "shown": shown_value(form, firing["value"])}
        levels = _levels(found["values"])
        highest = max((level.value for level in levels), default=0.0)
        label = f"values of {config.name} since {since}, at most {shown_value(form, highest)}, threshold "
        return shown | {
            "found": found,
            "limit": shown_value(form, limit),
            "given": f"{limit:g}",
            "by_threshold": [row | {"shown": shown_value(form, row["threshold"])} for row in found["by_threshold"]],
            "highest": shown_value(form, highest),
            "slider": max(highest, limit) * 1.5,
            "chart": charts.against_threshold(levels, limit, label + shown_value(form, limit)),
        }

    async def change(self, request: Request) -> Response:
        """Silence a rule, end its silence, or try a delivery again."""
        form = await self._form(request)
        action, rule = form.text("action"), form.text("rule")
        if action == "silence":
            body = {"rule": rule, "for": form.text("for"), "comment": form.text("comment")}
            await self._change(request, "silence", "", body)
        elif action == "unsilence":
            await self._change(request, "unsilence", rule)
        elif action == "redeliver":
            await self._change(request, "redeliver", form.text("delivery"))
            return back("/alerts", {}, action, "#deliveries")
        else:
            raise HttpError.of("SL904.choice", action, words="silence, unsilence, redeliver")
        return back("/alerts", {"rule": rule}, action)


def _said(done: str, rule: Mapping[str, Any] | None) -> str:
    """What was just done, in words; nothing where it is no longer so."""
    is_over = rule is not None and bool(rule["silenced"]) != (done == "silence")
    return "" if is_over and done in ("silence", "unsilence") else _DONE.get(done, "")


def rule_rows(configs: Sequence[RuleConfig], states: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rule with its states, those that need somebody first.

    Args:
        configs: the rules.
        states: the rows of `alerts list --json`.
    """
    by_name = {config.name: config for config in configs}
    rules: dict[str, dict[str, Any]] = {}
    for row in states:
        config = by_name.get(row["rule"])
        rule = rules.setdefault(row["rule"], _rule(row["rule"], config, row))
        rule["states"].append({**row, "shown": _shown(config, row["value"]), "words": shown_key(row["key"])})
    for rule in rules.values():
        rule["states"].sort(key=lambda row: (_SEVERE.get(row["state"], 2), -row["value"]))
        rule["state"] = rule["states"][0]["state"]
    return sorted(rules.values(), key=lambda rule: _SEVERE.get(rule["state"], 2))


def _rule(name: str, config: RuleConfig | None, row: Mapping[str, Any]) -> dict[str, Any]:
    made = {"name": name, "config": config, "states": [], "silenced": row["silenced"], "severity": row["severity"]}
    if config is None:  # the agent has a newer configuration than this server
        return made | {"condition": "", "limit": f"{row['threshold']:g}", "movable": False}
    compiled = compile_rule(config)
    return made | {
        "condition": _condition(config),
        "limit": shown_value(compiled.form, row["threshold"]) if has_threshold(compiled) else "–",
        "movable": has_threshold(compiled),
    }


def _past(row: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A row of the history with its key and value in words."""
    config = next((rule["config"] for rule in rules if rule["name"] == row["rule"]), None)
    return {**row, "words": shown_key(orjson.loads(row["key"] or "{}")), "shown": _shown(config, row["value"] or 0.0)}


def _condition(config: RuleConfig) -> str:
    """What a rule waits for, in words."""
    compiled = compile_rule(config)
    facts = facts_of(config, compiled)
    said = condition(facts, compiled.threshold).partition(" (threshold")[0]
    return said if compiled.form in ("absent", "new_group", "regressed") else f"at least {said}"


def _shown(config: RuleConfig | None, value: float) -> str:
    return f"{value:g}" if config is None else shown_value(config.when.form, value)


def _chosen(rules: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The rule of that name; without a name the one that needs somebody most."""
    if not name:
        return rules[0] if rules else None
    return next((rule for rule in rules if rule["name"] == name), None)


def _span_of(length_s: float) -> str:
    """The shortest of the spans to choose from that has so much."""
    names = [name for name, _ in _SPANS]
    return next((name for name in names if parse_seconds(name) >= length_s), names[-1])


def _levels(values: Sequence[Mapping[str, Any]]) -> list[charts.Level]:
    """At each moment the highest value of all keys."""
    highest: dict[str, float] = {}
    for row in values:
        highest[row["time"]] = max(highest.get(row["time"], 0.0), row["value"])
    return [
        charts.Level(spans.bucket_words(parse_time(moment, 0), 60 * 10**9), value) for moment, value in highest.items()
    ]
