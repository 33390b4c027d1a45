"""Data sets that the recipes of `nas.recipe` make from what package registries carry. Pages: docs/recipes."""
