"""How long a network takes: targets, timing, the latency table."""
