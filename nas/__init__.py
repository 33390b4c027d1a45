"""How one network is chosen among many."""
