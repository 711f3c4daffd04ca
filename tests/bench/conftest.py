"""The catalogs of the catalog tests: figures are taken on both databases."""

from tests.catalog.conftest import catalog, catalog_url, postgres_server

__all__ = ["catalog", "catalog_url", "postgres_server"]
