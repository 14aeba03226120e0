"""Tailing: from files on disk to batches of whole lines, each byte of each file generation exactly once.

What is no file, a journal or standard input, is read likewise: `streams`, with the journal's cursor for a position.

`Tailer` does it all; `SourceSettings` tells it what to follow; `marker` and `head_hash` are shared with the store's
side, which remembers what they return.
"""

from agent.tail.discover import SourceSettings
from agent.tail.harvester import Timing
from agent.tail.identity import head_hash, marker
from agent.tail.tailer import Tailer

__all__ = ["SourceSettings", "Tailer", "Timing", "head_hash", "marker"]
