"""Questions to the SQLite store."""
