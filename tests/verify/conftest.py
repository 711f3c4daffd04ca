"""Verifies what the command line made: three sounds, encoded by the untrained bundle; or others in either database."""

from tests.catalog.conftest import catalog_url, postgres_server
from tests.cli.conftest import filled, filled_once, sounds, spresso

__all__ = ["catalog_url", "filled", "filled_once", "postgres_server", "sounds", "spresso"]
