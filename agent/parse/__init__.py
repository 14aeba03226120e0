"""Lines into events: `decode.FileParser` turns a LineBatch into an EventBatch. Pure functions; no I/O, no clock."""
