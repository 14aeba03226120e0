"""What a service manager makes of the agent: the unit, the account that it runs as, and what its sandbox leaves."""
