"""Archives: rotated logs as small files that any zstd reads and that can be searched frame by frame.

planner    which logs are due, and what is known of them
keeper     one log after the other: worker, then the store, then (durably stored) the log is deleted
worker     a process of low priority: cut, compress, index, verify, name
cutter     where a log may be cut, and what the index says of each piece
container  the file: frames, metadata, the seek table (`seekable`); `tokens` and `scan` make the filter of a frame
place      names, safe writing, deletion; `source` is the log that is archived
archivist  the thread that lets the keeper work beside the reading

How archives are searched stands in `query.archives`.
"""
