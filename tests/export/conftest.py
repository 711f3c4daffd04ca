"""Exports what the command line made: three sounds, encoded by the untrained bundle."""

from tests.cli.conftest import filled, filled_once, sounds, spresso

__all__ = ["filled", "filled_once", "sounds", "spresso"]
