"""The bodies of chats and pagers: what broke, escaped for each service, within the lengths that it documents."""

import asyncio
import json
import re

import pytest

from agent.alert.document import example
from agent.config import HookConfig, Secret
from agent.config.schema import WebhookConfig
from agent.hooks import payloads
from agent.hooks.dispatch import tell
from tests.hooks.test_dispatch import receiver  # noqa: F401  a fixture

FORMATS = ("slack", "mattermost", "teams", "discord", "pagerduty", "ntfy")
NASTY = "<!channel> @here @everyone **x** `y` ```z``` [a](http://evil) & \x1b[2J\u202e\ud800\n# second"


def document(**changes):
    found = json.loads(example("page"))
    group = {**found["groups"][0], "title": "ConnectionError: refused", "culprit": "shop.pool in get", "count": 1_234}
    found |= {"summary": "rate (service=shop): 9 events in 1m, ConnectionError: refused", "groups": [group]}
    return found | {"key": {"service": "shop"}, "severity": "critical"} | changes


def hostile(size=1):
    text = NASTY * size
    found = document(summary=text, key={text: text}, host=text, rule=text, query=text, labels={text: text})
    event = {**found["events"][0], "body": text, "source": text, "severity_text": "ERROR"}
    group = {**found["groups"][0], "title": text, "culprit": text}
    return found | {"events": [event] * 5, "groups": [group] * 5}


def texts(value):
    """All strings of a JSON value."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts(one)]
    return [value] if isinstance(value, str) else []


def body(form, found, url="http://h/topic", key="k"):
    return json.loads(payloads.request(form, found, url, key)[1])


@pytest.mark.parametrize("form", FORMATS)
def test_a_service_is_told_what_broke_by_a_real_post(receiver, form):  # noqa: F811
    url = f"http://127.0.0.1:{receiver.server_address[1]}/200"
    service = WebhookConfig(url=Secret(literal=url), format=form, key=Secret(literal="s3cret"))
    result = asyncio.run(tell(HookConfig(webhook=service), json.dumps(document())))
    assert (result.ok, result.said) == (True, "HTTP 200")
    ((path, headers, sent),) = receiver.got
    assert headers["Content-Type"] == "application/json"
    assert path == ("/" if form == "ntfy" else "/200")
    said = "\n".join(texts(json.loads(sent)))
    for part in (
        "ConnectionError: refused",
        "1,234 ×",
        "shop.pool in get",
        "this is a test of the hook page",
        "sidelog query",
    ):
        assert part in said
    assert ("s3cret" in said) == (form == "pagerduty")


def test_without_a_format_the_document_goes_as_it_is(receiver):  # noqa: F811
    url = Secret(literal=f"http://127.0.0.1:{receiver.server_address[1]}/200")
    text = json.dumps(document())
    for webhook in (url, WebhookConfig(url=url)):
        assert asyncio.run(tell(HookConfig(webhook=webhook), text)).ok
    assert [sent.decode() for _, _, sent in receiver.got] == [text, text]


@pytest.mark.parametrize("form", FORMATS)
def test_lines_say_what_broke_where_their_messages_do_not(form):
    """The same words three times, of three exceptions."""
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\nshop.PayError: card {}'
    events = [
        {**document()["events"][0], "body": "unhandled exception", "attributes": {"exception": trace.format(number)}}
        for number in range(3)
    ]
    said = "\n".join(texts(body(form, document(events=events))))
    for number in range(3):
        assert f"unhandled exception: shop.PayError: card {number}" in said
    said = "\n".join(texts(body(form, document(events=[{**events[0], "severity_number": 9}]))))
    assert "unhandled exception: shop" not in said, "of errors alone"


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_over_looks_over(form):
    over = {"state": "resolved", "ended_at": "2026-11-22T03:09:05.000000000Z", "summary": "rate: resolved after 5m"}
    firing, resolved = body(form, document()), body(form, document(**over))
    marks = {
        "slack": lambda sent: (sent["text"].split()[0], sent["attachments"][0]["color"]),
        "mattermost": lambda sent: (sent["text"].split()[0], sent["attachments"][0]["color"]),
        "teams": lambda sent: sent["attachments"][0]["content"]["body"][0]["inlines"][0]["color"],
        "discord": lambda sent: (sent["embeds"][0]["title"][0], sent["embeds"][0]["color"]),
        "pagerduty": lambda sent: sent["event_action"],
        "ntfy": lambda sent: (sent["tags"][0], sent["priority"]),
    }[form]
    expected = {
        "slack": [(":rotating_light:", "#b00020"), (":white_check_mark:", "#2eb67d")],
        "mattermost": [(":rotating_light:", "#b00020"), (":white_check_mark:", "#2eb67d")],
        "teams": ["attention", "good"],
        "discord": [("🚨", 0xB00020), ("✅", 0x2EB67D)],
        "pagerduty": ["trigger", "resolve"],
        "ntfy": [("rotating_light", 5), ("white_check_mark", 2)],
    }[form]
    assert [marks(firing), marks(resolved)] == expected
    assert "2026-11-22 03:09:05 UTC" in "\n".join(texts(resolved))


def test_an_incident_is_one_for_a_key_of_a_rule_and_ends_with_it():
    known = [body("pagerduty", document(**one))["dedup_key"] for one in (
        {}, {"state": "repeat"}, {"state": "resolved"}, {"key": {"service": "web"}}, {"rule": "other"}
    )]  # fmt: skip
    assert known[0] == known[1] == known[2]
    assert len(set(known)) == 3
    assert body("pagerduty", document(), key="abc")["routing_key"] == "abc"


@pytest.mark.parametrize(
    ("url", "root", "topic"),
    [
        ("https://ntfy.sh/mine", "https://ntfy.sh/", "mine"),
        ("http://h:80/below/mine/?auth=x", "http://h:80/below/?auth=x", "mine"),
    ],
)
def test_a_topic_of_ntfy_is_the_last_part_of_the_address(url, root, topic):
    posted, sent = payloads.request("ntfy", document(), url, "")
    assert (posted, json.loads(sent)["topic"]) == (root, topic)


@pytest.mark.parametrize("size", [1, 400])
def test_no_length_of_a_service_is_passed(size):
    found = hostile(size)
    slack = body("slack", found)
    assert len(slack["text"]) <= 4_000
    blocks = slack["attachments"][0]["blocks"]
    assert blocks
    assert all(0 < len(block["text"]["text"]) <= 3_000 for block in blocks)
    mattermost = body("mattermost", found)
    assert len(mattermost["text"]) <= 4_000
    assert len(json.dumps(mattermost["attachments"], ensure_ascii=False)) <= 8_000
    [embed] = body("discord", found)["embeds"]
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4_096
    assert len(payloads.request("teams", found, "", "")[1]) <= 28 * 1024
    pager = payloads.request("pagerduty", found, "", "k")[1]
    assert len(pager) <= 512 * 1024
    assert len(json.loads(pager)["payload"]["summary"]) <= 1_024
    note = body("ntfy", found)
    assert len(note["message"].encode()) <= 4_096
    assert note["message"]


def test_what_a_log_says_mentions_nobody_and_links_nothing():
    found = hostile()
    for text in texts(body("slack", found)):
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
        assert text.count("```") in (0, 2), "nothing ends a block of code early"
    for form, parts in (
        ("mattermost", lambda sent: (sent["text"], sent["attachments"][0]["text"])),
        ("discord", lambda sent: (sent["embeds"][0]["title"], sent["embeds"][0]["description"])),
    ):
        for text in parts(body(form, found)):
            outside = "".join(text.split("```")[0::2])
            assert text.count("```") in (0, 4), "nothing ends a block of code early"
            assert not re.search(r"@(?:here|everyone)|(?<!\\)[\[\]`]", outside)
    assert body("discord", found)["allowed_mentions"] == {"parse": []}
    for block in body("teams", found)["attachments"][0]["content"]["body"]:
        assert block["type"] in ("RichTextBlock", "FactSet"), "what reads no Markdown, or has it broken"
    for form in FORMATS:
        for text in texts(body(form, found)):
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)
