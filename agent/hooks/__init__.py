"""Hooks: tell programs and web addresses what has happened.

`dispatch` takes deliveries from the outbox (`core.outbox`), keeps them in order per key, starts so many at a time and
tries again what fails, with growing pauses; `program` runs a hook once: a program, or one POST to a webhook. The room
knows no rule and no store: documents come in as JSON, and its callbacks say how each attempt ended.
"""
