"""Makers of the applications' data sets."""
