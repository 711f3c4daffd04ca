"""A worker process whose codec and prober are stubs: `python -m spresso_assets.bench.stub_worker`."""

from __future__ import annotations

from spresso_assets.bench.stubs import stub_context
from spresso_assets.config import load_settings
from workers.process import WorkerOptions, run

if __name__ == "__main__":
    run(WorkerOptions(queues=("encode", "io")), load_settings(), context=stub_context())
