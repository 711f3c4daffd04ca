"""A process to be killed: ``python -m tests.jobs.reencode_process CATALOG``. Plans, cuts, and tells of every step."""

import sys

from spresso_assets.catalog.engine import open_catalog
from spresso_assets.jobs import reencode_jobs, reencode_plan
from spresso_assets.jobs.reencode_plan import start, write_jobs
from spresso_assets.jobs.reencode_ways import Request
from spresso_assets.jobs.runner import EmbeddedRunner
from tests.jobs.streams import cutting_context

reencode_plan.STEP, reencode_jobs.CUT_SOUNDS = 20, 10
catalog = open_catalog(sys.argv[1])
print("started", flush=True)
request = Request("", "0.096kbps", source="0.3kbps", retire=True)
write_jobs(catalog, start(catalog, request), lambda sounds: print("planned", sounds, flush=True))
EmbeddedRunner(catalog, cutting_context(), batch=1).run(on_event=lambda event: print("batch", flush=True))
