r"""Regular expressions that a person wrote, in bounded time: whichever the expression, and whichever the text.

An expression goes to `re` where it provably makes few steps on a text of that length (`cost`): most do, on
all texts, and cost what they cost there. Else it goes to the module `regex`, which means the same and ends at a limit.

The limit is a tenth of what is left of a budget of time, of which a little comes back with time. So a first text that
takes without end is tried for long, and each further one for less, down to microseconds, which are as much as its
line takes to be parsed: an expression is never switched off, and what is cheap to decide is decided. Where the
limit passes, whoever asked is told so, and says by name what could not be decided.
"""

from __future__ import annotations

import re
import time
import warnings
from typing import TYPE_CHECKING, Any

from agent.core.errors import SidelogError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CHARACTERS = 1_000  # of an expression: reading and compiling one takes time, too
_MOST_NESTED = 8  # repetitions in each other: `regex` takes twice as long to compile each more, 0.1 s for 14
QUERY_BUDGET_S = 10.0  # of an expression of a command, which waits for it: the first text is tried for a second
LIVE_BUDGET_S = 0.5  # of one that every line goes past: the first is tried for 50 ms, all of them for half a second
_SHARE = 0.1  # of the budget that one text may take
_REFILL = 0.01  # of the time that passes comes back
_FREE_S = 20e-6  # of each text is not counted; `regex` looks at the clock about that often
_HICCUP_S = 1e-3  # a limit below it may have passed because the processor did something else: there is a second try
_FREE_S_PER_CHARACTER = 10e-9
# `regex` looks at the clock between steps, of which one may walk over all of the text: a long one may take a thousand
# times longer than it is allowed to. So it is tried only where something is left for that.
_ALWAYS_TRIED = 4_096  # characters
_SPENT_S = 1e-4  # a limit below it says that nothing is left
_IN_A_ROW = 8  # so many texts that were given up: the next ones will be, too, and are tried for _GLANCE_S and once then
_GLANCE_S = 8e-6  # in place of _FREE_S: most texts are decided in 2 µs
_LETS_OTHERS_RUN = (
    16_384  # characters; for shorter texts that costs more (5 ms, where another thread waits) than it gives
)

# `re` warns the programmer of what `[[` may mean one day; here it would be the user who reads it, with lines of ours.
warnings.filterwarnings("ignore", "Possible (nested set|set )", FutureWarning)


class UndecidedError(Exception):
    """Whether an expression is found in a text was not known in time.

    Args:
        length: of the text, in characters.
    """

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length


class TimeBudget:
    """The time that an expression may take over what texts cost anyway.

    Args:
        seconds: how much there is at first, and at the most.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._at = 0.0  # when it was looked at last; monotonic seconds

    def limit_s(self, length: int, now: float) -> float:
        """How long a text of so many characters may be tried, at the monotonic time `now`; 0.0: not at all."""
        if self._left < self._seconds:
            self._left = min(self._seconds, self._left + _REFILL * (now - self._at))
        self._at = now
        if self._left <= 0.0 and length > _ALWAYS_TRIED:
            return 0.0
        return _free_s(length) + _SHARE * max(0.0, self._left)

    def spend(self, length: int, took_s: float) -> None:
        """Note how long a text of so many characters took."""
        over = took_s - _free_s(length)
        if over > 0.0:
            self._left = max(self._left - over, -self._seconds)


def _free_s(length: int) -> float:
    return _FREE_S + _FREE_S_PER_CHARACTER * length


def wrong_with(text: str, most: int = MOST_CHARACTERS) -> str:
    """Why a text is refused as a regular expression; empty where it is not.

    Args:
        text: anything.
        most: how many characters it may have.
    """
    if len(text) > most:
        return f"it has {len(text)} characters; {most} are allowed"
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error) or type(error).__name__
    from agent.core.expressions.tree import nesting, read  # noqa: PLC0415

    if nesting(read(text)) > _MOST_NESTED:
        return f"repetitions lie in each other more than {_MOST_NESTED} deep"
    return ""


class Expression:
    """One expression.

    Args:
        text: as the module `re` takes it; nothing is `wrong_with` it.
        budget: None: that of a command, which fails where it passes.
        at_start: it is to be found at the beginning of a text alone, which is a line.

    Attributes:
        search: where it is found in a text: a match, whose groups have numbers; None where it is not. Raises
            UndecidedError, or SidelogError (SL524) where no budget was given.

    Raises:
        re.error, RecursionError, OverflowError: it is none.
    """

    search: Callable[[str], Any]

    def __init__(self, text: str, budget: TimeBudget | None = None, *, at_start: bool = False) -> None:
        compiled = re.compile(text)
        self.text = text
        self.budget = budget or TimeBudget(QUERY_BUDGET_S)
        self._at_start = at_start
        self._plain = compiled.match if at_start else compiled.search
        self._guarded: Callable[..., Any] | None = None
        self._given_up = 0  # texts in a row
        from agent.core.expressions.cost import safe_length  # noqa: PLC0415  most commands have no expression

        self._safe_length = safe_length(text, at_start=at_start)
        if self._safe_length == float("inf"):
            self.search = self._plain  # no call between: most expressions
        else:
            self.search = self._search if budget is not None else self._search_or_fail

    def plain_up_to(self, length: int) -> Callable[[str], Any] | None:
        """The same as `search` for texts of so many characters at most, where it is one of `re` that makes few steps on
        them.
        """
        return self._plain if length <= self._safe_length else None

    def _search(self, text: str) -> Any:
        length = len(text)
        if length <= self._safe_length:
            return self._plain(text)
        search = self._guarded or self._compile()
        now = time.monotonic()
        limit_s = self.budget.limit_s(length, now)
        if limit_s <= 0.0:
            raise UndecidedError(length)
        tries = 2 if limit_s < _HICCUP_S else 1
        if self._given_up >= _IN_A_ROW and limit_s < _SPENT_S:
            limit_s, tries = limit_s - _FREE_S + _GLANCE_S, 1
        # Where other threads run meanwhile, the time that they take is not its own; to ask for that takes longer.
        clock = time.thread_time if length > _LETS_OTHERS_RUN else time.monotonic
        began = now if clock is time.monotonic else clock()
        try:
            while tries:
                tries -= 1
                try:
                    found = search(text, timeout=limit_s, concurrent=length > _LETS_OTHERS_RUN)
                except (TimeoutError, MemoryError):
                    continue
                self._given_up = 0
                return found
        finally:
            self.budget.spend(length, clock() - began)
        self._given_up += 1
        raise UndecidedError(length)

    def _search_or_fail(self, text: str) -> Any:
        try:
            return self._search(text)
        except UndecidedError as error:
            raise SidelogError.of("SL524", self.text, length=error.length) from None

    def _compile(self) -> Callable[..., Any]:
        import regex  # noqa: PLC0415  25 ms that most expressions never need

        from agent.core.expressions.text import as_regex  # noqa: PLC0415
        from agent.core.expressions.tree import nesting, read  # noqa: PLC0415

        if nesting(read(self.text)) > _MOST_NESTED:  # of an archive that was made before that was refused
            self._guarded = _never
            return _never
        try:
            written = as_regex(self.text)
        except KeyError:  # Python has something new
            written = self.text
        try:
            compiled = regex.compile(written, regex.VERSION0)
            self._guarded = compiled.match if self._at_start else compiled.search
        except (regex.error, RecursionError, OverflowError):
            self._guarded = _never
        return self._guarded


def _never(text: str, **_: object) -> bool:
    raise UndecidedError(len(text))
