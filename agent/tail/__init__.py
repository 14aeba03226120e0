"""Tailing: from files on disk to batches of whole lines, each byte of each file generation exactly once.

What is no file, a journal or standard input, is read likewise: `streams`, with the journal's cursor for a position.

`tailer.Tailer` does it all; `discover.SourceSettings` tells it what to follow; `identity.marker` and `head_hash` are
shared with the store's side, which remembers what they return. Nothing is imported here: who asks where a file lies, as
`status` does, needs none of what follows one.
"""
