"""The state machine once more, slow and obvious: every instant at which something can change is visited in order."""

from __future__ import annotations

from agent.alert.window import BUCKETS


def value_at(rule, events, at):
    """The events (instants) that count at an instant."""
    bucket = at // rule.grain_ns
    count = sum(bucket - BUCKETS < event // rule.grain_ns <= bucket for event in events)
    before = sum(bucket - 2 * BUCKETS < event // rule.grain_ns <= bucket - BUCKETS for event in events)
    if rule.form == "rate":
        return count * 1e9 / rule.window_ns
    if rule.form == "spike":
        return count / max(before, 1) if count >= rule.minimum else 0.0
    return float(count)


def instants(rule, events, end):
    """Every instant up to `end` at which an event comes or leaves."""
    leaving = {(event // rule.grain_ns + BUCKETS) * rule.grain_ns for event in events}
    return sorted(at for at in leaving | set(events) if at <= end)


def run(rule, events, end):  # noqa: C901, PLR0912  one obvious loop is the point
    """The transitions (state, instant) that a rule makes of events (instants, ascending) up to `end`."""
    phase, since, repeat_at, found = "ok", 0, None, []
    visits = instants(rule, events, end)
    seen = []
    while True:
        timers = []
        if phase == "pending":
            timers.append(since + rule.for_ns)
        if phase == "firing":
            timers.append(repeat_at)
        candidates = [at for at in (*visits[:1], *timers) if at <= end]
        if not candidates:
            return found
        at = min(candidates)
        steps = [None]
        if visits and visits[0] == at:
            visits.pop(0)
            steps += [event for event in events if event == at]
        for event in steps:
            if event is not None:
                seen.append(event)
            if event is None and not seen:
                continue
            value = value_at(rule, seen, at)
            # Without an event only what is pending or firing is looked at again.
            if phase == "ok" and event is not None and value >= rule.threshold:
                phase, since = ("pending", at) if rule.for_ns else ("firing", at)
                repeat_at = at + rule.repeat_ns
                found.append((phase, at))
            elif phase == "pending" and value < rule.threshold:
                phase = "ok"
                found.append((phase, at))
            elif phase == "pending" and at >= since + rule.for_ns:
                phase, since, repeat_at = "firing", at, at + rule.repeat_ns
                found.append((phase, at))
            elif phase == "firing" and (value < rule.resolve_below or value == 0):
                phase = "ok"
                found.append(("resolved", at))
            elif phase == "firing" and event is None and at >= repeat_at:
                repeat_at = at + rule.repeat_ns
                found.append(("repeat", at))
