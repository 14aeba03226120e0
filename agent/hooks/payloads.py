"""A page as the body that a chat or a pager wants, made of the document that every hook gets.

What a log line says reaches services that read markup, mention people and draw links: each format escapes for its own,
puts lines of logs where nothing of that is read, and stays within the lengths that its service documents. Of what is
too long the end goes; what says what broke comes first. Times are UTC: who reads them sits anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from agent.core.severity import ERRORS_FROM
from agent.core.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LINES = 5  # events that are shown
_LINE_CHARS = 300
_HEADLINE_CHARS = 1_000
_QUERY_CHARS = 1_000
_FACTS = 10
_FACT_CHARS = 100
_COLORS = {"critical": 0xB00020, "error": 0xE01E5A, "warning": 0xECB22E, "info": 0x36C5F0}
_RESOLVED_COLOR = 0x2EB67D
_ZERO_WIDTH = "\u200b"
_FENCE = 8  # characters around a block of code


class _Page(NamedTuple):
    """What all services are told; every text is one harmless line."""

    is_over: bool
    severity: str  # critical | error | warning | info
    mark: str  # of what is going on, for who looks at a list of messages
    headline: str
    facts: list[tuple[str, str]]
    groups: list[str]
    lines: list[str]
    query: str
    host: str

    @property
    def color(self) -> int:
        """Red, green and blue."""
        return _RESOLVED_COLOR if self.is_over else _COLORS[self.severity]


def request(form: str, document: Mapping[str, Any], url: str, key: str) -> tuple[str, bytes]:
    """Where a page is to be posted, and its body.

    Args:
        form: a format of the configuration, not `generic`.
        document: of the page.
        url: of the webhook.
        key: PagerDuty's routing key.
    """
    page = _page(document)
    if form == "ntfy":
        url, body = _ntfy(page, url)
    elif form == "pagerduty":
        body = _pagerduty(page, document, key)
    else:
        body = _CHATS[form](page)
    return url, json.dumps(body, ensure_ascii=False).encode()


def _page(document: Mapping[str, Any]) -> _Page:
    is_over = document["state"] == "resolved"
    facts = [("host", document["host"]), ("started", _instant(document["started_at"]))]
    if document["ended_at"]:
        facts.append(("ended", _instant(document["ended_at"])))
    facts += [(name, value) for name, value in document["key"].items() if value is not None]
    facts += document.get("labels", {}).items()
    return _Page(
        is_over,
        document["severity"],
        "✅" if is_over else "🚨",
        _line(document["summary"], _HEADLINE_CHARS),
        [(_line(name, _FACT_CHARS), _line(value, _FACT_CHARS)) for name, value in facts[:_FACTS]],
        [_group(group) for group in document["groups"]],
        [_event(event) for event in document["events"][-_LINES:]],
        _line(document["query"], _QUERY_CHARS),
        _line(document["host"]),
    )


def _group(group: Mapping[str, Any]) -> str:
    place = f" ({group['culprit']})" if group["culprit"] else ""
    return _line(f"{group['count']:,} × {group['title']}{place}")


def _event(event: Mapping[str, Any]) -> str:
    from agent.parse.exceptions import of_record, unsaid  # noqa: PLC0415 - for who has a chat

    body = str(event["body"])
    first, failed = body.strip("\n").partition("\n")[0], ""
    if event["severity_number"] >= ERRORS_FROM:  # several lines may say the same, and their exceptions not
        failed = unsaid(of_record(event["attributes"]), body)
    said = ": ".join(part for part in (first, failed) if part)
    return _line(f"{_instant(event['timestamp'])} {event['severity_text'] or '-'} {event['source']}: {said}")


def _instant(text: str) -> str:
    """RFC 3339 with nanoseconds as people write it."""
    return f"{text[:19].replace('T', ' ')} UTC"


def _line(text: Any, most: int = _LINE_CHARS) -> str:
    """One line that no program takes for more than text, of so many characters."""
    return _cut(escape(str(text)), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _fitting(lines: Iterable[str], most: int, size: Callable[[str], int] = len) -> str:
    """As many of the first lines as fit into a length, one below the other."""
    kept: list[str] = []
    left = most + 1
    for line in lines:
        left -= size(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join(kept)


def _fact_line(page: _Page, safe: Callable[[str], str]) -> str:
    return ", ".join(f"{safe(name)} {safe(value)}" for name, value in page.facts)


# ---------------------------------------------------------------- Slack

_SLACK_SECTION = 3_000  # https://docs.slack.dev/reference/block-kit/blocks/section-block
_SLACK_TEXT = 4_000  # https://docs.slack.dev/changelog/2018-truncating-really-long-messages


def _slack(page: _Page) -> dict[str, Any]:
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, and blocks for what stands below."""
    mark = ":white_check_mark:" if page.is_over else ":rotating_light:"
    text = f"{mark} *{_slack_safe(page.headline)}*\n{_fact_line(page, _slack_safe)}"
    parts = [
        _fitting(map(_slack_safe, page.groups), _SLACK_SECTION),
        _fence(_fitting(map(_slack_safe, page.lines), _SLACK_SECTION - _FENCE)),
        _fence(_cut_markup(_slack_safe(page.query), _SLACK_SECTION - _FENCE)),
    ]
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": part}} for part in parts if part]
    fallback = _slack_safe(_cut(page.headline, _LINE_CHARS))
    attachment = {"color": f"#{page.color:06x}", "fallback": fallback, "blocks": blocks}
    return {"text": _cut_markup(text, _SLACK_TEXT), "attachments": [attachment]}


def _slack_safe(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text: three characters make links and mentions."""
    return _unfenced(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut_markup(text: str, most: int) -> str:
    """Cut where no escape is cut in two."""
    return text if len(text) <= most else re.sub(r"&[a-z]{0,4}$|\\$", "", text[: most - 1]) + "…"


def _fence(text: str) -> str:
    """A block of code, in which nothing is read."""
    return f"```\n{text}\n```" if text else ""


def _unfenced(text: str) -> str:
    """A line that cannot end the block that it stands in."""
    return text.replace("```", f"``{_ZERO_WIDTH}`")


# ---------------------------------------------------------------- Markdown: Mattermost, Discord

_MATTERMOST_TEXT = 4_000  # of servers whose database has the older, shorter column; others take 16,383
_MATTERMOST_PROPERTIES = 7_000  # of 8,000 characters that all attachments may have as JSON
_DISCORD_TITLE, _DISCORD_DESCRIPTION = 256, 4_096  # https://discord.com/developers/docs/resources/message#embed-object


def _mattermost(page: _Page) -> dict[str, Any]:
    """https://developers.mattermost.com/integrate/webhooks/incoming/, and attachments as Slack had them."""
    mark = ":white_check_mark:" if page.is_over else ":rotating_light:"
    text = f"{mark} **{_markdown_safe(page.headline)}**\n{_fact_line(page, _markdown_safe)}"
    details = _markdown_details(page, _MATTERMOST_PROPERTIES // 2)  # its JSON escapes may double it
    attachment = {"color": f"#{page.color:06x}", "fallback": _cut(page.headline, _LINE_CHARS), "text": details}
    return {"text": _cut_markup(text, _MATTERMOST_TEXT), "attachments": [attachment]}


def _discord(page: _Page) -> dict[str, Any]:
    """https://discord.com/developers/docs/resources/webhook#execute-webhook; nobody is mentioned."""
    title = _cut_markup(f"{page.mark} {_markdown_safe(page.headline)}", _DISCORD_TITLE)
    below = f"{_fact_line(page, _markdown_safe)}\n"
    room = _DISCORD_DESCRIPTION - len(below)  # with the title less than the 6,000 of a whole embed
    embed = {
        "title": title,
        "description": _cut_markup(f"{below}{_markdown_details(page, room)}", _DISCORD_DESCRIPTION),
        "color": page.color,
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _markdown_details(page: _Page, most: int) -> str:
    """Groups, lines and the query, in so many characters."""
    groups = _fitting(map(_markdown_safe, page.groups), most // 3)
    lines = _fence(_fitting(map(_unfenced, page.lines), most // 3 - _FENCE))
    query = _fence(_cut(_unfenced(page.query), most // 4 - _FENCE))
    return "\n".join(part for part in (groups, lines, query) if part)


def _markdown_safe(text: str) -> str:
    """Markdown's characters as themselves, as far as they mean something within a line, and no mention: an at sign
    that no name follows.
    """
    return re.sub(r"([\\`*_\[\]#|~>])", r"\\\1", text).replace("@", f"@{_ZERO_WIDTH}")


# ---------------------------------------------------------------- Teams

_TEAMS_BYTES = 28 * 1024  # https://learn.microsoft.com/microsoftteams/limits-specifications-teams#chat


def _teams(page: _Page) -> dict[str, Any]:
    """An adaptive card, as workflows and connectors take it. Text runs read no Markdown, so that nothing is escaped."""
    color = "good" if page.is_over else {"critical": "attention", "error": "attention"}.get(page.severity, "warning")
    lines = page.lines
    while True:
        body = [
            _run(f"{page.mark} {page.headline}", weight="bolder", size="medium", color=color),
            {
                "type": "FactSet",
                "facts": [{"title": _plain(name), "value": _plain(value)} for name, value in page.facts],
            },
            *(_run(group) for group in page.groups),
            *(_run(line, fontType="monospace", size="small") for line in lines),
            _run(page.query, fontType="monospace", size="small", isSubtle=True),
        ]
        card = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        }
        content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        message = {"type": "message", "summary": _cut(page.headline, _LINE_CHARS), "attachments": [content]}
        if not lines or len(json.dumps(message)) <= _TEAMS_BYTES:
            return message
        lines = lines[1:]


def _run(text: str, **looks: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **looks}]}


def _plain(text: str) -> str:
    """For a fact, in which Markdown is read."""
    return re.sub(r"([\\*_\[\]()~`])", rf"\1{_ZERO_WIDTH}", text)


# ---------------------------------------------------------------- PagerDuty

_PAGERDUTY_SUMMARY = 1_024  # https://developer.pagerduty.com/docs/send-alert-event


def _pagerduty(page: _Page, document: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An event of its Events API v2. What is said of one key of a rule is one incident, which "resolved" ends."""
    about = [document["host"], document["rule"], document.get("keys") or document["key"]]
    known = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
    details = {**dict(page.facts), "events": page.lines, "errors": page.groups, "query": page.query}
    return {
        "routing_key": key,
        "event_action": "resolve" if page.is_over else "trigger",
        "dedup_key": known,
        "client": "sidelog",
        "payload": {
            "summary": _cut(page.headline, _PAGERDUTY_SUMMARY),
            "source": page.host or "sidelog",
            "severity": page.severity,
            "timestamp": f"{(document['ended_at'] or document['started_at'])[:23]}Z",
            "class": _line(document["rule"]),
            "custom_details": details,
        },
    }


# ---------------------------------------------------------------- ntfy

_NTFY_BYTES = 4_096  # https://docs.ntfy.sh/config/#message-limits: what is longer becomes a file
_NTFY_TITLE = 250
_NTFY_PRIORITIES = {"critical": 5, "error": 4, "warning": 3, "info": 2}


def _ntfy(page: _Page, url: str) -> tuple[str, dict[str, Any]]:
    """https://docs.ntfy.sh/publish/#publish-as-json, which goes to the server's root, the topic in the body."""
    parts = urlsplit(url)
    root, _, topic = parts.path.rstrip("/").rpartition("/")
    lines = [page.headline, _fact_line(page, str), *page.groups, *page.lines, page.query]
    message = _fitting(lines, _NTFY_BYTES, lambda line: len(line.encode()))
    body = {
        "topic": topic,
        "title": _cut(page.headline, _NTFY_TITLE),
        "message": message or _cut(page.headline, _NTFY_BYTES // 4),
        "priority": 2 if page.is_over else _NTFY_PRIORITIES[page.severity],
        "tags": ["white_check_mark" if page.is_over else "rotating_light", page.severity],
    }
    return urlunsplit(parts._replace(path=f"{root}/")), body


_CHATS: dict[str, Callable[[_Page], dict[str, Any]]] = {
    "slack": _slack,
    "mattermost": _mattermost,
    "discord": _discord,
    "teams": _teams,
}
