"""Texts end to end in one row: their bounds, their masks, and attention over all of them."""
