"""Rules for the engine's tests, with short windows in round numbers."""

from agent.alert.rules import compile_rule
from agent.config import RuleConfig, WhenConfig

S = 10**9
T = 1_795_000_000 * S
WINDOW_S = 128.0  # a bucket is one second


def rule(name="r", *, window=WINDOW_S, when=None, **settings):
    """A compiled rule; `for_` and the others as in the configuration, `when` as keywords of WhenConfig."""
    settings = {"match": "x", **settings}
    return compile_rule(RuleConfig(name=name, window=window, when=WhenConfig(**(when or {"count": 3})), **settings))


def said(changes):
    """Changes as (state, seconds after T, value)."""
    return [(change.state, (change.at - T) / S, change.value) for change in changes]
