"""The process that the agent starts: its settings come through standard input, how the targets are goes out."""

import sys

from agent.forward.process import forward_for_agent

sys.exit(forward_for_agent())
