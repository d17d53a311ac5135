"""Where the project lies, for tests that read its files or start processes in it."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
