"""The formats of a corpus: one file for each, and what they share."""
