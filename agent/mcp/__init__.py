"""What programs of language models ask over MCP: the questions of the API, read-only, in short answers."""
