"""The agent as `sidelog run -c FILE` starts it, but for how often it looks at its directories without being told to:
python rescanning.py FILE SECONDS.
"""

import asyncio
import sys
from pathlib import Path

from agent import config as configuration
from agent.core import logs
from agent.daemon import Agent
from agent.tail.harvester import Timing

if __name__ == "__main__":
    logs.configure(0)
    timing = Timing(rescan_s=float(sys.argv[2]))  # the net under what inotify does not tell
    asyncio.run(Agent(configuration.load(Path(sys.argv[1])), tail_timing=timing).run())
