"""A process to be killed: ``python -m tests.jobs.ingest_process CATALOG``. It prints a line after every batch."""

import sys

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.jobs.runner import EmbeddedRunner
from tests.jobs.sounds import a_context

catalog = open_catalog(sys.argv[1])
print("started", flush=True)
EmbeddedRunner(catalog, a_context(), batch=3).run(on_event=lambda event: print("batch", flush=True))
