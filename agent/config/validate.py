"""What types cannot say: ranges, names, references between sections, keys that exclude each other, missing features."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.config.addresses import check_http, is_url
from agent.config.convert import close_to, nearest, shown
from agent.config.schema import FIELD_ROLES, PRIORITIES, WHEN_FORMS, MultilineConfig
from agent.config.targets import check_engine, check_forward, check_headers
from agent.core.patterns import lazy
from agent.core.times import parse_hours, time_of_day

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.config.convert import ConfigFindings
    from agent.config.layers import KeyPath
    from agent.config.schema import (
        Config,
        HookConfig,
        JournalConfig,
        RotateConfig,
        RuleConfig,
        SourceConfig,
        WebhookConfig,
    )

_NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)  # it becomes a directory of the archive
_LABEL = lazy(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}", re.ASCII)
_PRIORITIES = frozenset((*PRIORITIES, *"01234567"))


def validate(config: Config, findings: ConfigFindings) -> None:
    """Add a finding for everything in a converted configuration that would fail or mean nothing later."""
    _group(config.store.group, ("store", "group"), findings)
    _group(config.archive.group if config.archive else None, ("archive", "group"), findings)
    for path, source in _located(config.sources, "sources", findings):
        _source(source, path, findings)
    _unique("sources", findings)
    hooks = findings.merged.get(("hooks",))
    for path, rule in _located(config.alerts, "alerts", findings):
        _rule(rule, path, list(hooks) if isinstance(hooks, dict) else [], findings)
    _unique("alerts", findings)
    for name, hook in config.hooks.items():
        _hook(name, hook, ("hooks", name), findings)
    if config.http is not None:
        check_http(config.http, findings)
    for path, target in _located(config.forward, "forward", findings):
        _name(target.name, (*path, "name"), findings)
        check_forward(target, path, findings)
    _unique("forward", findings)
    if config.engine is not None:
        check_engine(config.engine, ("engine",), findings)


def _group(name: str | None, path: KeyPath, findings: ConfigFindings) -> None:
    if name is None:
        return
    import grp  # noqa: PLC0415 - most configurations have none

    from agent.core.sharing import group_id  # noqa: PLC0415

    try:
        group_id(name)
    except KeyError:
        near = close_to(name, [known.gr_name for known in grp.getgrall()])
        findings.add("SL104.group", path, value=shown(name), near=near)


def _located(items: Sequence[Any], section: str, findings: ConfigFindings) -> list[tuple[KeyPath, Any]]:
    """The items with their paths; an item that could not be converted has none, so match by name."""
    names = [item.get("name") if isinstance(item, dict) else None for item in _written(section, findings)]
    result: list[tuple[KeyPath, Any]] = []
    at = -1
    for item in items:
        at = names.index(item.name, at + 1)
        result.append(((section, at), item))
    return result


def _written(section: str, findings: ConfigFindings) -> list[Any]:
    """The items of a list as they stand in the document; none where it is no list, which was complained about."""
    written = findings.merged.get((section,))
    return written if isinstance(written, list) else []


def _unique(section: str, findings: ConfigFindings) -> None:
    seen: dict[str, KeyPath] = {}
    for index, item in enumerate(_written(section, findings)):
        name = item.get("name") if isinstance(item, dict) else None
        path = (section, index, "name")
        if isinstance(name, str) and name in seen:
            first = findings.merged.place(seen[name])
            findings.add("SL106", path, name=name, first=first)
        elif isinstance(name, str):
            seen[name] = path


def _name(name: str, path: KeyPath, findings: ConfigFindings) -> None:
    if not _NAME.fullmatch(name):
        findings.add("SL104.name", path, value=shown(name))


def _regex(pattern: str, path: KeyPath, findings: ConfigFindings) -> None:
    from agent.core.expressions import wrong_with  # noqa: PLC0415  most configurations have none

    if why := wrong_with(pattern):
        findings.add("SL104.regex", path, value=shown(pattern), why=why)


def _source(source: SourceConfig, path: KeyPath, findings: ConfigFindings) -> None:
    _name(source.name, (*path, "name"), findings)
    _origin(source, path, findings)
    for role, where in source.fields.items():
        if role not in FIELD_ROLES:
            near, roles = close_to(role, FIELD_ROLES), ", ".join(FIELD_ROLES)
            findings.add("SL103.field", (*path, "fields", role), field=role, near=near, fields=roles)
        elif not all(where.split(".")):
            findings.add("SL104.dotted", (*path, "fields", role), value=shown(where))
    _patterns(findings.merged.get((*path, "format")), (*path, "format"), findings)
    _timezone(source.timezone, (*path, "timezone"), findings)
    if isinstance(source.multiline, MultilineConfig):
        _regex(source.multiline.start, (*path, "multiline", "start"), findings)
    for label in source.labels:
        if not _LABEL.fullmatch(label):
            findings.add("SL104.label", (*path, "labels", label), value=shown(label))
    if not all(source.redact):
        findings.add("SL104", (*path, "redact"), problem="holds an empty name")
    if source.rotate is not None:
        _rotate(source, (*path, "rotate"), findings)


def _patterns(written: Any, path: KeyPath, findings: ConfigFindings) -> None:
    """The patterns of `format` as they stand in the document: a mapping, or a list of them; else it is a word."""
    if isinstance(written, dict):
        _pattern(written, path, findings)
    if not isinstance(written, list):
        return
    from agent.core.line_patterns import MOST_PATTERNS  # noqa: PLC0415 - most sources have none

    if not written:
        findings.add("SL130.none", path)
    elif len(written) > MOST_PATTERNS:
        findings.add("SL130.many", path, count=len(written), most=MOST_PATTERNS)
    for index, one in enumerate(written):
        if isinstance(one, dict):
            _pattern(one, (*path, index), findings)


def _pattern(written: dict[str, Any], path: KeyPath, findings: ConfigFindings) -> None:
    from agent.core.line_patterns import problem_with  # noqa: PLC0415 - as above
    from agent.core.named_patterns import NAMED  # noqa: PLC0415

    pattern, name = written.get("pattern"), written.get("include")
    if (pattern is None) == (name is None):
        if not written.keys() - {"pattern", "include"}:
            findings.add("SL105.pattern" if pattern is None else "SL108.pattern", path)
    elif isinstance(name, str) and name not in NAMED:
        findings.add("SL130.include", (*path, "include"), value=shown(name), near=close_to(name, NAMED))
    elif isinstance(pattern, str) and (problem := problem_with(str(pattern))) is not None:
        findings.add(problem.key, (*path, "pattern"), **problem.facts)


def _origin(source: SourceConfig, path: KeyPath, findings: ConfigFindings) -> None:
    """Where its lines come from: files or a journal."""
    written = findings.merged.get(path) or {}
    if "journal" not in written:
        if "include" not in written:
            findings.add("SL105", path, key="include")
        elif not written["include"]:
            findings.add("SL104.include", (*path, "include"))
        return
    for key in ("include", "exclude", "rotate"):
        if written.get(key):
            findings.add("SL108.journal", (*path, key), key=key)
    if source.journal is None:
        if written["journal"] is None:
            findings.add("SL104.journal", (*path, "journal"))
        return
    _journal(source.journal, (*path, "journal"), findings)


def _journal(journal: JournalConfig, where: KeyPath, findings: ConfigFindings) -> None:
    for key in ("units", "identifiers"):
        for index, name in enumerate(getattr(journal, key)):
            if not name.strip() or not name.isprintable():
                findings.add("SL104", (*where, key, index), problem="names nothing")
    given = journal.priority
    if given is not None and given not in _PRIORITIES:
        words, near = ", ".join(PRIORITIES), close_to(given, PRIORITIES)
        findings.add("SL104.choice", (*where, "priority"), value=shown(given), words=f"{words}, 0 to 7", near=near)


def _timezone(name: str, path: KeyPath, findings: ConfigFindings) -> None:
    if name == "UTC":  # always there, also without a time zone database
        return
    import zoneinfo  # noqa: PLC0415 - 3 ms of every command

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        findings.add("SL104.timezone", path, value=shown(name), near=_similar_zone(name))


def _similar_zone(name: str) -> str:
    """The question about the zone whose city is nearest; empty when none is near."""
    import zoneinfo  # noqa: PLC0415

    zones = {zone.rpartition("/")[2].lower(): zone for zone in sorted(zoneinfo.available_timezones(), reverse=True)}
    near = nearest(name.rpartition("/")[2], zones)
    return f", did you mean '{zones[near]}'?" if near else ""


def _rotate(source: SourceConfig, path: KeyPath, findings: ConfigFindings) -> None:
    rotate = source.rotate
    assert rotate is not None
    written = findings.merged.get(path) or {}
    if all(written.get(key) is None for key in ("size", "every", "at")):
        findings.add("SL105.rotate", path)
    if rotate.every is not None and rotate.at is not None:
        findings.add("SL108.every", path)
    if rotate.at is not None and time_of_day(rotate.at) is None:
        findings.add("SL104.at", (*path, "at"), value=shown(rotate.at))
    _rotate_telling(rotate, path, findings)


def _rotate_telling(rotate: RotateConfig, path: KeyPath, findings: ConfigFindings) -> None:
    """How the application learns of a rotation."""
    told = [key for key in ("signal", "command") if getattr(rotate, key) is not None]
    if len(told) > 1:
        findings.add("SL108.signal", path)
    if told and rotate.method == "copytruncate":
        findings.add("SL108.copytruncate", (*path, told[0]), key=told[0])
    if rotate.command is not None and not rotate.command:
        findings.add("SL104.program", (*path, "command"), example="[/usr/bin/systemctl, reload, shop]")
    if rotate.signal is not None:
        name = rotate.signal.name.upper().removeprefix("SIG")
        known = [item.name.removeprefix("SIG").lower() for item in signal.Signals]
        if name.lower() not in known:
            near = close_to(name, known)
            findings.add("SL104.signal", (*path, "signal", "name"), value=shown(rotate.signal.name), near=near)


def _rule(rule: RuleConfig, path: KeyPath, hooks: list[str], findings: ConfigFindings) -> None:
    _name(rule.name, (*path, "name"), findings)
    _when(rule, path, findings)
    if not rule.match and rule.when.form not in ("new_group", "regressed"):
        findings.add("SL105.match", path)
    if not all(rule.per):
        findings.add("SL104", (*path, "per"), problem="holds an empty field name")
    _rule_quiet(rule, path, findings)
    for label in rule.labels:
        if not _LABEL.fullmatch(label):
            findings.add("SL104.label", (*path, "labels", label), value=shown(label))
    for index, hook in enumerate(rule.hooks):
        if hook not in hooks:
            key, near = "SL107.hook" if hooks else "SL107.empty", close_to(hook, hooks)
            findings.add(key, (*path, "hooks", index), hook=hook, near=near, hooks=", ".join(hooks))


def _rule_quiet(rule: RuleConfig, path: KeyPath, findings: ConfigFindings) -> None:
    """What keeps a rule quiet: other rules, and hours."""
    rules = [item.get("name") for item in _written("alerts", findings) if isinstance(item, dict)]
    names = [name for name in rules if isinstance(name, str)]
    for index, other in enumerate(rule.inhibited_by):
        if other not in names or other == rule.name:
            key = "SL107.itself" if other == rule.name else "SL107.rule"
            findings.add(key, (*path, "inhibited_by", index), rule=other, near=close_to(other, names))
    for index, text in enumerate(rule.mute):
        try:
            parse_hours(text)
        except ValueError as error:
            findings.add("SL104.mute", (*path, "mute", index), value=shown(text), problem=error)


def _when(rule: RuleConfig, path: KeyPath, findings: ConfigFindings) -> None:
    where = (*path, "when")
    written = findings.merged.get(where) or {}
    forms = [form for form in WHEN_FORMS if form in written]
    if len(forms) != 1:
        if all(key in (*WHEN_FORMS, "min") for key in written):  # else the unknown key was the form
            key = "SL108.forms" if forms else "SL108.form"
            findings.add(key, where, forms=" and ".join(forms), known=", ".join(WHEN_FORMS))
        return
    form = forms[0]
    if getattr(rule.when, form) is False:
        findings.add("SL104.false", (*where, form))
    if rule.when.min is not None and form not in ("ratio", "spike"):
        findings.add("SL108.min", (*where, "min"), form=form)
    _resolve_below(rule, form, path, findings)


def _resolve_below(rule: RuleConfig, form: str, path: KeyPath, findings: ConfigFindings) -> None:
    if rule.resolve_below is None:
        return
    where = (*path, "resolve_below")
    written = findings.merged.get(where)
    marks = {"rate": "/", "ratio": "%", "spike": "x"}
    if form not in ("count", *marks):
        findings.add("SL108.resolve", where, form=form)
        return
    text = written if isinstance(written, str) else ""
    fits = (marks[form] in text) if form in marks else not any(mark in text for mark in marks.values())
    if not fits:
        example = {"count": "25", "rate": "1/s", "ratio": "3%", "spike": "2x"}[form]
        findings.add("SL104.form", where, value=shown(written), form=form, example=example)
    elif (threshold := getattr(rule.when, form)) is not None and rule.resolve_below > threshold:
        findings.add("SL104.above", where, value=shown(written), form=form)


def _hook(name: str, hook: HookConfig, path: KeyPath, findings: ConfigFindings) -> None:
    _name(name, path, findings)
    written = findings.merged.get(path) or {}
    if ("exec" in written) == ("webhook" in written):
        findings.add("SL108.both" if "exec" in written else "SL108.neither", path)
    if "exec" in written and not written["exec"]:
        findings.add("SL104.program", (*path, "exec"), example="[/etc/sidelog/hooks/page.sh]")
    if hook.service is not None:
        place = (*path, "webhook")
        _webhook(hook.service, place, (*place, "url") if hook.service is hook.webhook else place, findings)
    if hook.headers and hook.webhook is None and "webhook" not in written:
        findings.add("SL108.headers", (*path, "headers"))
    check_headers(hook.headers, path, findings)


def _webhook(webhook: WebhookConfig, path: KeyPath, of_url: KeyPath, findings: ConfigFindings) -> None:
    if webhook.url.literal is not None:
        _url(webhook.url.literal, of_url, findings)
        if webhook.format == "ntfy" and not urlsplit(webhook.url.literal).path.strip("/"):
            findings.add("SL104", of_url, problem="names no topic: it ends in one, as https://ntfy.sh/TOPIC")
    if webhook.format == "pagerduty" and webhook.key is None:
        findings.add("SL108.keyless", path)
    elif webhook.format != "pagerduty" and webhook.key is not None:
        findings.add("SL108.key", path, format=webhook.format)


def _url(text: str, path: KeyPath, findings: ConfigFindings) -> None:
    """The text is not repeated: tokens stand in the URLs of webhooks."""
    if not is_url(text):
        findings.add("SL104.url", path)
