"""The SQLite file: its schema, the one writer, read-only readers, retention."""
