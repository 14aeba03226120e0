"""Wires alert rules to what they look at: events on their way into the store (`live`), or stored ones (`replay`)."""
