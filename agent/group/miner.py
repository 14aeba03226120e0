"""Finds the template that a message belongs to, online: one message after the other, each placed at once and for good.

A message whose masked text is known belongs to the template that has it. Another is compared with the templates of
the same source and number of words. Where ten of them agree with it in at least three of five words, and differ in
columns that hold five different words or more, those columns are values that no rule could tell from words: the
oldest of the ten is generalised there (`<word>`) and takes the message. Fewer alike are fewer troubles: `VM started`
and `VM stopped` stay two.

A generalised template keeps its fingerprint and so its group; the groups of the others that were alike stay what they
are, and what they were given stays theirs. All that the miner knows is in its templates (the fingerprint, the text,
when it was last seen), which the store keeps with the groups: one that is restored places every message as the one
that was never stopped. There are at most TEMPLATES; the one last seen longest ago (in event time) goes first, and its
message finds the same group again, because the fingerprint is made of the first text.
"""

from __future__ import annotations

import bisect
import heapq
from operator import attrgetter, eq
from typing import TYPE_CHECKING, cast

from agent.core.patterns import lazy
from agent.group import template
from agent.group.fingerprint import OF_FRAMES, fingerprint
from agent.group.template import VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

WORD = "<word>"  # a column in which the words of many messages differed
TEMPLATES = 5_000  # about 1.5 KB each
_WORDS = 100  # a message with more is as good as equal to one that begins with the same
_COMPARED = 128  # the youngest of equal length: 40 µs for a message that nobody has seen before
_ALIKE = 10  # messages, the new one included, that must agree before a column can be generalised
_VARIED = 5  # different words in that column
_SEEN = 2_048  # messages that are placed by a look-up
_SEEN_CHARS = 500  # longer ones are always sketched

# What else errors must have in common: ("type", exception type), ("message", logger), ("frames", their fingerprint).
Scope = tuple[str, str]


class Template:
    """One template and the group it stands for. `told` is the grouper's."""

    __slots__ = ("fingerprint", "group", "last_seen", "live", "scope", "told", "words")

    def __init__(self, scope: Scope, words: tuple[str, ...], fingerprint: str, group: int, last_seen: int) -> None:
        self.scope = scope
        self.words = words
        self.fingerprint = fingerprint
        self.group = group
        self.last_seen = last_seen
        self.live = True  # the miner still has it
        self.told: tuple[str, str | None, str | None, str] | None = None

    @property
    def text(self) -> str:
        """How the store keeps it; `parse` is the inverse."""
        return "\n".join([*self.scope, " ".join(self.words)])


def parse(text: str) -> tuple[Scope, tuple[str, ...]] | None:
    """Scope and words of a stored template; None where it is none."""
    kind, _, rest = text.partition("\n")
    name, separator, words = rest.rpartition("\n")
    return ((kind, name), tuple(words.split(" "))) if separator else None


def renewed(text: str) -> str:
    """A template that older rules for values have made, as the present ones make it."""
    found = parse(text)
    return text if found is None else "\n".join([*found[0], " ".join(_words(" ".join(found[1])))])


class _Leaf:
    """The templates of one scope and length, the oldest group first."""

    __slots__ = ("general", "of_words", "templates")

    def __init__(self) -> None:
        self.templates: list[Template] = []
        self.general: list[Template] = []  # those with a generalised column
        self.of_words: dict[tuple[str, ...], list[Template]] = {}  # what is no value -> those that say it

    def add(self, one: Template) -> None:
        bisect.insort(self.templates, one, key=attrgetter("group"))
        if WORD in one.words:
            bisect.insort(self.general, one, key=attrgetter("group"))
        bisect.insort(self.of_words.setdefault(_bare(one.words), []), one, key=attrgetter("group"))

    def remove(self, one: Template) -> None:
        self.templates.remove(one)
        if WORD in one.words:
            self.general.remove(one)
        bare = _bare(one.words)
        self.of_words[bare].remove(one)
        if not self.of_words[bare]:
            del self.of_words[bare]

    def same_words(self, words: tuple[str, ...]) -> tuple[Template, tuple[str, ...]] | None:
        """A template that differs only in how its values look, and what both are: one that is so already, if any."""
        found = None
        bare = _bare(words)
        for one in self.of_words.get(bare, ()) if any(map(_is_word, bare)) else ():
            common = tuple(map(_same_value, one.words, words))
            if None not in common:
                if common == one.words:
                    return one, one.words
                found = found or (one, cast("tuple[str, ...]", common))
        return found


class Miner:
    """The templates of one store.

    Args:
        group_of: the group of a fingerprint, a new one where there is none.
        known: fingerprint, text and last_seen (Unix ns) of stored templates; the last seen first.
        older: fingerprint of frames -> that of the group which they made up to version 2, where they decided alone even
            without a type. The first template of such frames takes that group over, with its state and its count.
        learning: templates may come to be and change.
    """

    def __init__(
        self,
        group_of: Callable[[str], int],
        known: Iterable[tuple[str, str, int]] = (),
        *,
        older: Mapping[str, str] | None = None,
        learning: bool = True,
    ) -> None:
        self._group_of = group_of
        self._older = {} if older is None else older
        self._of_frames: set[str] = set()  # fingerprints of the templates of frames
        self._learning = learning
        self._exact: dict[tuple[Scope, tuple[str, ...]], Template] = {}
        self._leaves: dict[tuple[Scope, int], _Leaf] = {}
        self._heap: list[tuple[int, int, Template]] = []  # (last_seen when it was pushed, group, template)
        self._seen: dict[tuple[str, str, str], Template] = {}
        self._sketched: dict[tuple[str, str, str], Template] = {}
        self.changed: dict[int, Template] = {}  # group -> its template, new or generalised since somebody took note
        for mark, text, last_seen in known:
            if (found := parse(text)) is not None and len(self._exact) < TEMPLATES and found not in self._exact:
                self._add(Template(*found, mark, group_of(mark), last_seen))
        self.changed.clear()

    def __len__(self) -> int:
        return len(self._exact)

    def place(self, kind: str, name: str, message: str, timestamp: int) -> Template:
        """The template of a message.

        Args:
            kind: `type` or `message`: what `name` is.
            name: the exception's type or the logger.
            message: what was said.
            timestamp: Unix ns.
        """
        raw = (kind, name, message)
        found = self._seen.get(raw)
        if found is None:
            sketch = (kind, name, template.sketch(message))
            found = self._sketched.get(sketch)
            if found is None:
                found = self._place((kind, _storable(name)), _words(message), timestamp)
                if not found.live:
                    return found
                _remember(self._sketched, sketch, found)
            if len(message) <= _SEEN_CHARS:
                _remember(self._seen, raw, found)
        found.last_seen = max(found.last_seen, timestamp)
        return found

    def _place(self, scope: Scope, words: tuple[str, ...], timestamp: int) -> Template:
        if (found := self._exact.get((scope, words))) is not None:
            return found
        leaf = self._leaves.get((scope, len(words)))
        if leaf is not None:
            for one in leaf.general:
                if _covers(one.words, words):
                    return one
            same = leaf.same_words(words)
            if same is not None and (same[0].words == same[1] or self._learning):
                return same[0] if same[0].words == same[1] else self._generalise(leaf, *same)
            if (
                self._learning
                and len(leaf.templates) >= _ALIKE - 1
                and (alike := _alike(leaf.templates, words)) is not None
            ):
                return self._generalise(leaf, *alike)
        mark = self._older.get(scope[1]) if scope[0] == OF_FRAMES else None
        if mark is None or mark in self._of_frames:
            mark = fingerprint("\n".join([*scope, " ".join(words)]))
        made = Template(scope, words, mark, self._group_of(mark), timestamp)
        if not self._learning:
            made.live = False
            return made
        self._add(made)
        if len(self._exact) > TEMPLATES:
            self._evict()
        return made

    def _generalise(self, leaf: _Leaf, oldest: Template, words: tuple[str, ...]) -> Template:
        leaf.remove(oldest)
        del self._exact[oldest.scope, oldest.words]
        oldest.words = words
        self._exact[oldest.scope, words] = oldest
        leaf.add(oldest)
        self.changed[oldest.group] = oldest
        self._forget()
        return oldest

    def _add(self, one: Template) -> None:
        self._exact[one.scope, one.words] = one
        if one.scope[0] == OF_FRAMES:
            self._of_frames.add(one.fingerprint)
        self._leaves.setdefault((one.scope, len(one.words)), _Leaf()).add(one)
        heapq.heappush(self._heap, (one.last_seen, one.group, one))
        self.changed[one.group] = one

    def _evict(self) -> None:
        """Let the template go that was last seen longest ago. The heap's entries may be older than the truth."""
        while True:
            last_seen, group, one = heapq.heappop(self._heap)
            if one.last_seen == last_seen:
                break
            heapq.heappush(self._heap, (one.last_seen, group, one))
        one.live = False
        self._of_frames.discard(one.fingerprint)
        del self._exact[one.scope, one.words]
        leaf = self._leaves[one.scope, len(one.words)]
        leaf.remove(one)
        if not leaf.templates:
            del self._leaves[one.scope, len(one.words)]
        self._forget()

    def _forget(self) -> None:
        """What was placed by look-up must be placed anew: another template may be its own now."""
        self._seen.clear()
        self._sketched.clear()


def _words(message: str) -> tuple[str, ...]:
    return tuple(_storable(template.mask(message)).split(" ")[:_WORDS])


def _storable(text: str) -> str:
    """Without lone surrogates, which UTF-8 has no form for, so that it comes back from the store as it is."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _remember(cache: dict[tuple[str, str, str], Template], key: tuple[str, str, str], found: Template) -> None:
    if len(cache) >= _SEEN:
        cache.clear()
    cache[key] = found


def _covers(general: Sequence[str], words: Sequence[str]) -> bool:
    return all(ours in (word, WORD) for ours, word in zip(general, words, strict=True))


def _alike(templates: Sequence[Template], words: tuple[str, ...]) -> tuple[Template, tuple[str, ...]] | None:
    """The oldest of enough templates that agree with a message, and what is common to all of them and it."""
    constant = sum(map(_is_word, words))
    needed = len(words) - constant + -(-constant * 3 // 5)
    alike = [one for one in templates[-_COMPARED:] if sum(map(eq, one.words, words)) >= needed]
    while len(alike) >= _ALIKE - 1:
        columns = [{word, *others} for word, *others in zip(words, *(one.words for one in alike), strict=True)]
        few = [at for at, values in enumerate(columns) if 1 < len(values - {WORD}) < _VARIED]
        if not few:
            varied = [len(values) > 1 for values in columns]
            if len(words) - sum(varied) < needed:
                return None
            return alike[0], tuple(WORD if it else word for it, word in zip(varied, words, strict=True))
        alike = [one for one in alike if all(one.words[at] in (words[at], WORD) for at in few)]
    return None


def _is_word(word: str) -> bool:
    return word != WORD and VALUE not in word


_ALONE = lazy(r"([(\[{\"']*)<\*>([)\]}\"'.,:;!?]*)")


def _bare(words: Iterable[str]) -> tuple[str, ...]:
    """The words of which those that hold a value are that value alone."""
    return tuple([VALUE if VALUE in word else word for word in words])


def _same_value(one: str, other: str) -> str | None:
    """What two words of one place are, of which one is a value and nothing else; None where they are two things."""
    if one == other:
        return one
    for value, word in ((one, other), (other, one)):
        alone = _ALONE.fullmatch(value)
        if alone is not None and word.startswith(alone[1]) and word.endswith(alone[2]) and "=" not in word:
            return value
    return None
