"""Error groups: which events are the same trouble."""
