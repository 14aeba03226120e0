"""Instants as lines write them: layouts and zones, one value, a whole column, and what a line leaves out of a date."""
