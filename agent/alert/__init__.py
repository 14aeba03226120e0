"""Alerts: rules as a pure state machine (`engine`), and hooks that tell people (`dispatch`, `program`, `webhook`)."""
