"""Experiments that take longer than a test, each a module with functions and a command."""
