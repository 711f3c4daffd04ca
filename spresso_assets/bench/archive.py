"""A catalog over a folder of procedural sounds, for measurements that encode with a real model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spresso_assets.bench.folders import write_folder
from spresso_assets.bench.stubs import StubProber
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.catalog.profiles import ensure_model, ensure_profiles
from spresso_assets.codec.bundle import read_config
from spresso_assets.ingest.reconcile import reconcile
from spresso_assets.ingest.roots import add_root
from spresso_assets.jobs.context import TaskContext
from spresso_assets.jobs.plan import enqueue_probe
from spresso_assets.jobs.runner import EmbeddedRunner


@dataclass(frozen=True)
class Archive:
    """A catalog, where it lies, and how many seconds of sound it holds."""

    catalog: Catalog
    location: str
    seconds: float


def make_archive(folder: Path, bundle: Path, sounds: int, *, longest_s: float, probed: bool) -> Archive:
    """Write sounds and take them in.

    Args:
        probed: their files were looked at (by a stub) and only encoding waits; else both wait.
    """
    seconds = write_folder(folder / "sounds", sounds, shortest_s=longest_s / 4, longest_s=longest_s)
    location = str(folder / "catalog.db")
    catalog = open_catalog(location, create=True)
    config, facts = read_config(bundle)
    with catalog.session() as session:
        ensure_profiles(session, ensure_model(session, config.name, str(facts["weights_sha256"])))
        root = add_root(session, folder / "sounds", mode="scan")
        assert root.id is not None
    reconcile(catalog, root.id, lambda session, file: enqueue_probe(session, file), settle_s=0.0)
    if probed:
        EmbeddedRunner(catalog, TaskContext(prober=StubProber())).run()
    return Archive(catalog, location, seconds)
