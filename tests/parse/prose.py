"""Lines without a level: English sentences in which the words for levels are common, and access logs. Seeded."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEVELS = [
    "error", "warning", "info", "fatal", "debug", "notice", "critical", "alert", "panic", "trace", "fine", "severe",
    "emergency", "failure", "success", "log", "detail", "hint", "context", "query", "note", "fault",
]  # fmt: skip
_NOUNS = [
    "office", "garden", "report", "committee", "train", "harbour", "letter", "judge", "orchestra", "bridge",
    "market", "teacher", "engine", "river", "ticket", "e-mail", "city", "number", "house", "printer", "customer",
    "team",
]  # fmt: skip
_ADJECTIVES = [
    "old", "small", "public", "late", "quiet", "open", "second", "green", "broken", "useful", "well-known",
]  # fmt: skip
_VERBS = [
    "was", "became", "reached", "left", "crossed", "answered", "missed", "repaired", "described", "ignored",
    "found",
]  # fmt: skip
_TAILS = [
    "in the morning", "without a word", "before noon", "at 10:30", "on 3 May 1998", "for 20 euros", "again and again",
    "(see page 12)", "as planned", "near the A4", "in 2026", "by the river",
]  # fmt: skip
_SENTENCES = [
    "The {a} {n} {v} the {n} {t}.", "{L} signs were seen on the {n} {t}.", "A {l} {n} {v} {t}.",
    "{L} handling is what the {n} {v} {t}.", "No {l} was reported by the {n}, and the {a} {n} {v} it {t}.",
    "It was a {l} mistake, said the {n}: nobody {v} the {a} {n}.", "{L} or not, the {n} {v} {t}.",
    "In the {l} case the {n} {v} {t}; {l} letters are {a}.", '"{L}," said the {n}, "is what we {v}."',
    "I {v} the {n} {t} - a {l} that nobody {v}.", "{U} is what the {a} {n} {v} {t}.", "What the {n} calls {U} is {a}.",
    "They {v} {t}: {l}, {l} and {l}.", "{N} {v} the {l} of the {n} [{l}] {t}.", "Our {n} ({l} {n}) {v} {t}.",
    "See the {l} desk at the {n}; its {l} level is {a}.", "{d} {l} messages {v} the {n} {t}.", "- {L} is {a}",
    "* a {l} {n}", "{d}. The {l} {n} {v} {t}.", "{N}: the {n} {v} {t}.", "{N} {N} - {l} of the {n}, {t}",
    "I, the {n}, {v} {t}.", "E-mail about the {l} {v} the {n}.", "What a {l}! The {n} {v} {t}.",
    "> {L} is {a}, wrote the {n}.",
    "{a} {n}, {a} {l}", "Chapter {d}: {L} and {L}", "the {n}'s {l}s {v} {d} {n}s", "{l}s, {l}s and no {n}",
]  # fmt: skip
_PATHS = [
    "/",
    "/error",
    "/errors/{d}",
    "/warning?level=error",
    "/api/info",
    "/fatal.html",
    "/log/ERROR",
    "/a?b=[error]&c=INFO",
]
_AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "curl/8.5.0",
    "-",
    "error-bot/1.0 (+http://x.org/ERROR)",
    "INFO crawler: WARN",
]
_ACCESS = [
    '10.{d}.0.1 - - [22/Nov/2026:05:39:{s} +0000] "GET {p} HTTP/1.1" {c} {d} "-" "{g}"',
    '10.{d}.0.1 - {l} [22/Nov/2026:05:39:{s} +0000] "POST {p} HTTP/2.0" {c} {d}',
    'shop.example.com 10.0.{d}.1 - - [22/Nov/2026:05:39:{s} +0000] "GET {p} HTTP/1.1" {c} {d} "-" "{g}" 0.{d}',
    '2001:db8::{d} - ann [22/Nov/2026:05:39:{s} +0000] "-" 408 0 "-" "-"',
    "2026-11-22 05:39:{s} 10.0.{d}.1 GET {p} - 443 - 10.0.0.1 {g} - {c} 0 0 {d}",
]


def lines(number: int, seed: int = 12) -> Iterator[str]:
    """So many of them, every fifth an access log's."""
    chosen = random.Random(seed)
    for index in range(number):
        text = chosen.choice(_ACCESS if index % 5 == 0 else _SENTENCES)
        yield "".join(_filled(part, chosen) for part in _parts(text))


def _parts(text: str) -> list[str]:
    return text.replace("{", "\0{").replace("}", "}\0").split("\0")


def _filled(part: str, chosen: random.Random) -> str:
    if not part.startswith("{"):
        return part
    words = {
        "l": _LEVELS, "n": _NOUNS, "a": _ADJECTIVES, "v": _VERBS, "t": _TAILS, "g": _AGENTS,
        "c": ["200", "301", "404", "500"],
    }  # fmt: skip
    key = part[1:-1]
    if key in words:
        return chosen.choice(words[key])
    if key == "p":
        return chosen.choice(_PATHS).replace("{d}", str(chosen.randrange(100)))
    if key in ("d", "s"):
        return f"{chosen.randrange(60):02d}" if key == "s" else str(chosen.randrange(250))
    word = chosen.choice(_NOUNS if key == "N" else _LEVELS)
    return word.upper() if key == "U" else word.capitalize()
