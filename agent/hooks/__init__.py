"""Tell programs and web addresses what has happened."""
