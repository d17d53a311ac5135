"""Checks of a manifest: its files, sources, ranks, texts and scores."""
