"""Agents of several machines and a real ClickHouse: its servers, a proxy that cuts connections, and what they show."""
