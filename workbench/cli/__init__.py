"""The command `workbench`."""

from workbench.cli.main import app

__all__ = ["app"]
