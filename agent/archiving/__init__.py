"""How rotated logs become archives and are found in them: the wiring of tail, parse, store, query and archive.

planner    which logs are due, and what is known of them
worker     a process of low priority: cut, compress, index, verify, name
keeper     one log after the other: worker, then the store, then (durably stored) the log is deleted
cutter     where a log may be cut, and what the index says of each piece
"""
