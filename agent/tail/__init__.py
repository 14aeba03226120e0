"""Tailing: from files on disk to batches of whole lines, each byte of each file generation exactly once.

What is no file, a journal or standard input, is read likewise: `streams`, with the journal's cursor for a position.

`tailer.Tailer` does it all; `discover.SourceSettings` tells it what to follow; `identity` has what the store's side
shares, which remembers it. Nothing is imported here: who only asks for a file's identity needs no
asyncio.
"""
