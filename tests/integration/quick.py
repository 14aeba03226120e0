"""The agent as `sidelog run -c FILE` starts it, that looks at its directories more often: python quick.py FILE."""

import asyncio
import sys
from pathlib import Path

from agent import config as configuration
from agent.core import logs
from agent.daemon import Agent
from agent.tail.harvester import Timing

if __name__ == "__main__":
    logs.configure(0)
    timing = Timing(rescan_s=0.5)  # the net under what inotify does not tell, such as a directory that is opened again
    asyncio.run(Agent(configuration.load(Path(sys.argv[1])), tail_timing=timing).run())
