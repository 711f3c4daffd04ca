"""Small catalogs for tests: files and probes without any audio."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

from sqlmodel import Session, select

from spresso_assets.catalog.assets import link_source
from spresso_assets.catalog.models import Asset, SourceFile, WatchRoot


def a_root(session: Session, path: str = "/sounds", name: str = "sfx") -> WatchRoot:
    root = session.exec(select(WatchRoot).where(WatchRoot.path == path)).first()
    if root is None:
        root = WatchRoot(name=name, path=path)
        session.add(root)
        session.flush()
    return root


def a_file(session: Session, rel_path: str, **values: Any) -> SourceFile:
    """A present file that was not probed yet."""
    root = a_root(session)
    assert root.id is not None
    row = SourceFile(
        root_id=root.id, rel_path=rel_path, path_key=rel_path.casefold(), **{"size": 1000, "mtime_ns": 1, **values}
    )
    row.state = values.get("state", "present")
    session.add(row)
    session.flush()
    return row


def a_probe(sound: str, duration_s: float = 1.0, **values: Any) -> dict[str, Any]:
    """What a probe says of the file: equal ``sound`` means equal samples. Metadata as ``fields={name: text}``."""
    digest = hashlib.sha256(sound.encode()).hexdigest()
    source = values.pop("source", "ixml")
    fields = [{"field": key, "value": text, "source": source} for key, text in values.pop("fields", {}).items()]
    return {
        "audio_hash": f"pcm-sha256:{digest}",
        "file_sha256": digest[::-1],
        "container": "wav",
        "frames": int(duration_s * 48_000),
        "duration_s": duration_s,
        "sample_rate": 48_000,
        "channels": 1,
        "bit_depth": 24,
        "flags": [],
        "loudness_db": -20.0,
        "peaks": b"\x80\x7f",
        "fields": fields,
        "raw_chunks": [],
        **values,
    }


def add_sound(session: Session, rel_path: str, sound: str | None = None, **values: Any) -> Asset:
    """A file with its asset, as ingest leaves it; its sound is named after the path unless given."""
    asset, _ = link_source(session, a_file(session, rel_path), a_probe(sound or PurePosixPath(rel_path).name, **values))
    return asset
