"""Forwarding: what is stored goes on to other places."""
