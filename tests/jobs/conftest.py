"""The catalogs of the catalog tests: jobs live in the same database."""

from tests.catalog.conftest import catalog, catalog_url, postgres_server

__all__ = ["catalog", "catalog_url", "postgres_server"]
