"""What answers over HTTP: health, metrics, the API and the pages, in a process of its own that reads the store."""
