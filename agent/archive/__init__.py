"""Archives: rotated logs as small files that any zstd reads and that can be searched frame by frame.

The way of a rotated log, downwards; each calls what stands below it:

    archiver   one log after the other: worker, then the store, then (durably stored) the log is deleted; `removal` of
               old archives
    lock       one owner per directory
    planner    which logs are due, and what is known of them
    process    the worker as its owner sees it
    worker     a process of low priority: redact, split, compress, index, verify, name
    matchers   which file generation a log is, and which archives it has outgrown
    protocol   orders, answers, and the file in which filters wait
    frames     a log into frames of whole events, and each frame's index (`scan`, `tokens`: the filter of its tokens)
    files      safe writing and deletion
    directory  where archives lie, and which ones the store does not know
    container  one archive: frames, `metadata`, the seek table (`seekable`), and the `positions` of what was redacted
    logfile    the log that is archived

`backups` keeps copies of store and archives, `backupsets` finds them and brings archives back. `reindex` makes the
store's index again from the files alone. How archives are searched stands in `query.archives`.
"""
