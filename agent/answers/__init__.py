"""What is asked over HTTP and MCP, and the processes that answer: each can be ended whatever it does."""
