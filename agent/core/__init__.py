"""What several rooms need of an event, and of each other: below all rooms."""
