"""How good a network, or a file, is over the validation split."""
