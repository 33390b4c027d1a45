"""Which channels matter, and taking away those that do not."""
