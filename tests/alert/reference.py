"""The state machine once more, slow and obvious: every instant at which something can change is visited in order."""

from __future__ import annotations

from agent.alert.window import BUCKETS

DAY_S = 86_400
DAY_BUCKET_NS = 675 * 10**9


def value_at(rule, events, at):
    """The events (instants) that count at an instant."""
    bucket = at // rule.grain_ns
    count = sum(bucket - BUCKETS < event // rule.grain_ns <= bucket for event in events)
    before = sum(bucket - 2 * BUCKETS < event // rule.grain_ns <= bucket - BUCKETS for event in events)
    if rule.form == "rate":
        return count * 1e9 / rule.window_ns
    if rule.form == "spike":
        return count / max(before, usual(rule, events, bucket, count), 1) if count >= rule.minimum else 0.0
    return float(count)


def usual(rule, events, bucket, count):
    """What a window of the last day has had on average, without the one that is judged."""
    window_s = rule.window_ns / 1e9
    if 2 * window_s >= DAY_S:
        return 0.0
    places = [event // rule.grain_ns * rule.grain_ns // DAY_BUCKET_NS for event in events]
    now = bucket * rule.grain_ns // DAY_BUCKET_NS
    day = sum(now - BUCKETS < place <= now for place in places)
    return (day - count) * window_s / (DAY_S - window_s)


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
