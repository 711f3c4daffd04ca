"""Files of the read-only folder: what listings say of them, read for a whole folder in three statements.

The size of a file follows from the head of its payload, exactly, without decoding anything (`render.takes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from plugin_bridge.render.takes import Take
from spresso_assets.catalog.rows import Rows
from spresso_assets.catalog.stored_paths import path_from_stored
from spresso_assets.codec.bitstream import read_header
from spresso_assets.errors import SpressoError
from spresso_assets.export.decode import CARRIED
from spresso_assets.export.naming import safe

SHORT_ID = 8
MAX_NAME = 60  # characters before the id; Windows allows 260 for a path in all
_ASSETS = f"SELECT id, uid, updated_at, {', '.join(CARRIED)} FROM asset WHERE id IN ({{}}) AND deleted_at IS NULL"
# The same choice as `catalog.renditions.get_payload`, for many sounds at once.
_RENDITIONS = """
SELECT r.asset_id, r.payload, r.decode_seed, r.generation, r.created_at, p.name, m.name, m.weights_sha256
FROM rendition r JOIN encode_profile p ON p.id = r.profile_id JOIN codec_model m ON m.id = p.model_id
WHERE r.id IN (
  SELECT best.id FROM (
    SELECT x.id, row_number() OVER (PARTITION BY x.asset_id ORDER BY q.state, q.nominal_kbps DESC, x.id DESC) AS place
    FROM rendition x JOIN encode_profile q ON q.id = x.profile_id WHERE x.status = 'ready' AND x.asset_id IN ({})
  ) best WHERE best.place = 1
)
"""
_FILES = """
SELECT f.asset_id, w.path, f.rel_path FROM source_file f JOIN watch_root w ON w.id = f.root_id
WHERE f.state <> 'moved' AND f.asset_id IN ({}) ORDER BY f.id
"""


@dataclass(frozen=True)
class FileEntry:
    """One file.

    Attributes:
        name: without its folders.
        take: what is rendered when it is read: the sound's own first variation, in the best profile, at 24 bits.
        changed_us: when its bytes or its name last changed, microseconds since 1970.
    """

    name: str
    take: Take
    changed_us: int

    @cached_property
    def etag(self) -> str:
        """Entity tag of the file."""
        return self.take.etag("wav")


def entries_of(rows: Rows, ids: Sequence[int], max_seconds: float) -> list[FileEntry]:
    """Files of at most a folder's worth of sounds, by name; without those that have no payload or are too long."""
    if not ids:
        return []
    listed = ", ".join(str(int(asset_id)) for asset_id in ids)
    renditions = {row[0]: row[1:] for row in rows.rows(_RENDITIONS.format(listed), {})}
    originals: dict[int, tuple[str, str]] = {}
    for asset_id, root, rel_path in rows.rows(_FILES.format(listed), {}):
        originals.setdefault(asset_id, (root, rel_path))
    found = []
    for asset_id, uid, updated, *values in rows.rows(_ASSETS.format(listed), {}):
        if asset_id in renditions:
            fields = {name: value for name, value in zip(CARRIED, values, strict=True) if value}
            take = _take(uid, fields, renditions[asset_id], originals.get(asset_id, ("", "")))
            if take is not None and take.seconds <= max_seconds:
                found.append((take, max(updated, renditions[asset_id][3])))
    return _named(found)


def file_name(take: Take, digits: int = SHORT_ID) -> str:
    """What a sound is called here: its name as people write it, and as much of its id as tells it apart."""
    return f"{safe(take.name)[:MAX_NAME].rstrip(' .')}__{take.asset_uid[:digits]}.wav"


def _named(found: list[tuple[Take, int]]) -> list[FileEntry]:
    """Names that differ without regard to case; two in a hundred million need more digits for that."""
    taken: set[str] = set()
    entries = []
    for take, changed in sorted(found, key=lambda item: item[0].asset_uid):
        digits = SHORT_ID
        while (name := file_name(take, digits)).casefold() in taken and digits < 32:
            digits += 4
        taken.add(name.casefold())
        entries.append(FileEntry(name, take, changed))
    return sorted(entries, key=lambda entry: entry.name.casefold())


def _take(uid: str, fields: dict[str, str], rendition: Sequence[Any], original: tuple[str, str]) -> Take | None:
    payload, seed, generation, _, profile, model, weights = rendition
    try:
        header = read_header(bytes(payload))
    except SpressoError:
        return None  # a payload that is damaged; `spresso verify` tells of it
    root, rel_path = original
    name = fields.get("fx_name") or fields.get("title")
    return Take(
        asset_uid=uid,
        name=name or PurePosixPath(path_from_stored(rel_path)).stem or uid[:8],
        profile=profile,
        model=model,
        weights_sha256=weights,
        seed=seed,
        quality="default",
        sample_rate=header.sample_rate,
        channels=header.channels,
        frames=header.samples,
        bits="24",
        gain_db=0.0,
        start=0,
        source_rate=header.sample_rate,
        source_channels=header.channels,
        source_frames=header.samples,
        payload=bytes(payload),
        original=f"{root}/{rel_path}" if rel_path else "",
        generation=generation,
        fields=fields,
    )
