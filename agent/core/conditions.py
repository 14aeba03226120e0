"""The agent's own errors, logged once when they begin, cleared when they end; and rounds of work that meet some."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import structlog

from agent.core.errors import SidelogError, StoreError
from agent.core.metrics import AgentCounters
from agent.core.model import OwnError
from agent.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Container

_REPEAT_LOG_S = 60.0  # a condition that goes on is logged once a minute, not once per attempt
_PASSES_AFTER_S = 600.0
# Findings that cost space alone: all is read, stored and archived, and the log stays. They leave the agent healthy.
WARNINGS = frozenset({"SL807"})

log = structlog.get_logger("sidelog")


class Reporter:
    """Collects own errors from all threads until the writer stores them.

    Args:
        clock: Unix ns.
        counters: where they are counted, too.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, counters: AgentCounters | None = None) -> None:
        self._clock = clock
        self._counts = (counters or AgentCounters()).own_errors
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str, bool], OwnError] = {}  # bounded: the store may be out of reach for days
        self._logged: dict[tuple[str, str], float] = {}  # what holds now; monotonic seconds
        self._said: dict[tuple[str, str], OwnError] = {}  # and the newest error of each

    def report(self, error: SidelogError, active: bool = True) -> None:  # noqa: FBT001, FBT002  a callback's shape
        """Note that an error happened (`active`) or that its condition is over."""
        key = (error.code, error.subject)
        now = time.monotonic()
        with self._lock:
            last = self._logged.get(key)
            if not active and last is None:
                return
            own = OwnError(error.code, error.subject, error.message, error.hint, self._clock(), active)
            self._add(own)
            if active:
                self._said[key] = own
                self._counts[error.code] = self._counts.get(error.code, 0) + 1
                loud = last is None or now - last >= _REPEAT_LOG_S
                if loud:
                    self._logged[key] = now
            else:
                loud = True
                del self._logged[key], self._said[key]
        if loud:
            write = log.warning if active else log.info
            write(
                error.message if active else "condition is over",
                code=error.code,
                subject=error.subject,
                hint=error.hint if active else None,
            )

    def clear(self, codes: frozenset[str]) -> None:
        """End every condition with one of these codes: what they prevented has succeeded."""
        with self._lock:
            ended = [key for key in self._logged if key[0] in codes]
        for code, subject in ended:
            self.report(SidelogError(code, "", subject, "", hint=""), active=False)

    def active(self, *codes: str) -> list[tuple[str, str]]:
        """Code and subject of the conditions with one of these codes that hold now."""
        with self._lock:
            return sorted(key for key in self._logged if key[0] in codes)

    def conditions(self) -> list[OwnError]:
        """What holds now, as it was reported last; the oldest first."""
        with self._lock:
            return list(self._said.values())

    @property
    def waiting(self) -> bool:
        """Whether something waits to be stored."""
        return bool(self._waiting)

    def take(self) -> list[OwnError]:
        """What was reported since the last call."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        return list(waiting.values())

    def _add(self, error: OwnError) -> None:
        """A repetition only counts; what happened last comes last, and decides whether it is active."""
        known = self._waiting.pop((error.code, error.subject, error.active), None)
        if known is not None:
            error.count += known.count
        self._waiting[error.code, error.subject, error.active] = error  # at the end


# ---------------------------------------------------------------- conditions


class Conditions:
    """The conditions that hold now for one who meets them, by the code and subject of their error."""

    def __init__(self, report: Callable[[SidelogError, bool], None]) -> None:
        self._report = report
        self._active: dict[tuple[str, str], SidelogError] = {}

    def begin(self, error: SidelogError) -> None:
        """Report `error` unless the same condition holds already."""
        key = (error.code, error.subject)
        if key not in self._active:
            self._active[key] = error
            self._report(error, True)  # noqa: FBT003 - the protocol of `report` is positional

    def repeat(self, error: SidelogError) -> None:
        """Report `error` also where the same condition holds already: it is counted each time."""
        self._active[error.code, error.subject] = error
        self._report(error, True)  # noqa: FBT003

    def end(self, subject: str, *codes: str) -> None:
        """The conditions of `subject` are over: those with one of `codes`, or all."""
        if not self._active:
            return
        for key in [key for key in self._active if key[1] == subject and (not codes or key[0] in codes)]:
            self._report(self._active.pop(key), False)  # noqa: FBT003

    def keep(self, subjects: set[str], *codes: str) -> None:
        """End all conditions with one of `codes` whose subject is not among `subjects`."""
        for code, subject in [key for key in self._active if key[0] in codes and key[1] not in subjects]:
            self.end(subject, code)

    def end_others(self, holding: set[tuple[str, str]]) -> None:
        """End all conditions but those of these codes and subjects."""
        for code, subject in self._active.keys() - holding:
            self.end(subject, code)


class PassingConditions:
    """Conditions that are met by events, so that nobody sees their end: one is over ten minutes after it was met last.

    Args:
        report: notes that a condition began or goes on (True) or ended (False).
        clock: monotonic seconds.
    """

    def __init__(
        self, report: Callable[[SidelogError, bool], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._conditions = Conditions(report)
        self._clock = clock
        self._spells: dict[tuple[str, str], _Spell] = {}

    def meet(self, key: str, subject: str, count: int, what: str, **facts: Any) -> None:
        """Note that a condition was met `count` times more; it is reported at once, and again each minute.

        Args:
            key: of the catalogue; its sentence says `{met}`, how often it was met since it began, such as `3 lines`.
            subject: whom it is about.
            count: times.
            what: is counted: `line`.
            facts: for the sentence.
        """
        now = self._clock()
        spell = self._spells.setdefault((key, subject), _Spell())
        spell.count += count
        spell.met_s = now
        if now - spell.reported_s >= _REPEAT_LOG_S:
            spell.reported_s = now
            self._conditions.repeat(SidelogError.of(key, subject, met=counted(spell.count, what), **facts))

    def settle(self) -> None:
        """End those that were not met for a while. To be called now and then."""
        if not self._spells:
            return
        for (key, subject), spell in list(self._spells.items()):
            if self._clock() - spell.met_s >= _PASSES_AFTER_S:
                self._end(key, subject)

    def keep(self, subjects: Container[str]) -> None:
        """End those of all others."""
        for key, subject in list(self._spells):
            if subject not in subjects:
                self._end(key, subject)

    def _end(self, key: str, subject: str) -> None:
        del self._spells[key, subject]
        self._conditions.end(subject, key)


class _Spell(msgspec.Struct):
    """How long a condition holds already; monotonic seconds."""

    count: int = 0
    met_s: float = 0.0
    reported_s: float = -math.inf


# ---------------------------------------------------------------- rounds of work


Config = TypeVar("Config")


class Rounds(threading.Thread, Generic[Config]):
    """Makes rounds until it is stopped; what one of them meets ends that round alone.

    Args:
        name: of the work: `archiving`.
        code: under which a fault of a round is reported, about the name.
        config: validated.
        report: notes that a condition began (True) or ended (False).
    """

    def __init__(self, name: str, code: str, config: Config, report: Callable[[SidelogError, bool], None]) -> None:
        super().__init__(name=f"sidelog-{name}", daemon=True)
        self._work = name
        self._code = code
        self._config = config
        self._report = report
        self._conditions = Conditions(report)
        self._ended = threading.Event()

    def round(self, config: Config) -> None:
        """One round."""
        raise NotImplementedError

    def pause_s(self, config: Config) -> float:
        """How long to wait before the next round."""
        raise NotImplementedError

    def run(self) -> None:
        """The thread."""
        while not self._ended.wait(self.pause_s(self._config)):
            try:
                self.round(self._config)
            except StoreError:
                continue  # the writer meets it too, and says so
            except Exception as error:  # noqa: BLE001 - or no round would be made any more, and nobody would know
                facts = {"kind": type(error).__name__, "why": str(error)}
                self._conditions.repeat(SidelogError.of(self._code, self._work, **facts))
            else:
                self._conditions.end(self._work, self._code)

    def reload(self, config: Config) -> None:
        """Go on with another configuration from the next round on."""
        self._config = config

    def end(self) -> None:
        """Come to an end soon."""
        self._ended.set()
