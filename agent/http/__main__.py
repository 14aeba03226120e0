"""The process that the agent starts: settings and vitals come through standard input, signs of life go out."""

import sys

from agent.http.server import serve_agent

sys.exit(serve_agent())
