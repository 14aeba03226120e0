"""The engine over a ClickHouse, where the events of many agents are together."""
