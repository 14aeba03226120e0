"""Asking for events: the language, its analysis, an engine for each place where events are, the forms of output."""
