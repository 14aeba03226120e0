"""Forwarding to a ClickHouse and to OTLP receivers."""
