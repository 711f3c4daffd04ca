"""Level hash: every payload and every original, byte for byte, against what was recorded when it was made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile, Rendition, SourceFile, WatchRoot
from spresso_assets.codec.bitstream import unpack
from spresso_assets.codec.bitstream_header import SprHeader
from spresso_assets.errors import SpressoError
from spresso_assets.verify.finding import Finding, error

AGAIN = "spresso verify --level hash --repair encodes it again"


def check_payload(rendition: Rendition, asset: Asset, profile: EncodeProfile, model: CodecModel) -> Iterator[Finding]:
    """Hash, checksum and header of one rendition."""
    about = f"{asset.uid[:8]} {profile.name}"
    ids = {"asset_id": asset.id, "rendition_id": rendition.id}
    if hashlib.sha256(rendition.payload).hexdigest() != rendition.payload_sha256:
        yield error("payload_corrupt", about, "the payload does not have the hash that was recorded", AGAIN, **ids)
        return
    try:
        header, _ = unpack(rendition.payload)
    except SpressoError as fault:
        if fault.code != "spr_needs_model":  # the check at its end was good; only the codes cannot be read here
            yield error(fault.code, about, fault.message, AGAIN, **ids)
            return
        from spresso_assets.codec.bitstream import read_header

        header = read_header(rendition.payload)
    for message in _contradictions(header, asset, profile, model):
        yield error("header_differs", about, message, AGAIN, **ids)


def _contradictions(header: SprHeader, asset: Asset, profile: EncodeProfile, model: CodecModel) -> Iterator[str]:
    if (header.samples, header.sample_rate) != (asset.frames, asset.sample_rate):
        yield (
            f"the stream is of {header.samples} samples at {header.sample_rate} Hz, "
            f"the sound of {asset.frames} at {asset.sample_rate} Hz"
        )
    if header.model_id != model.weights_sha256[: len(header.model_id)]:
        yield f"the stream was made by the weights {header.model_id}, the profile's are {model.weights_sha256[:6]}"
    wanted = (profile.params.get("pool"), profile.params.get("codebooks"))
    if (header.pool, header.codebooks) != wanted:
        has = f"the stream has pool {header.pool} and {header.codebooks} codebooks"
        yield f"{has}, the profile {wanted[0]} and {wanted[1]}"


def originals(session: Session, asset_ids: Sequence[int]) -> list[tuple[Path, SourceFile]]:
    """Files of some sounds that are there and were read."""
    rows = session.exec(
        select(SourceFile, WatchRoot)
        .join(WatchRoot)
        .where(col(SourceFile.asset_id).in_(asset_ids), SourceFile.state == "present", WatchRoot.state != "paused")
        .order_by(col(SourceFile.id))
    ).all()
    return [(Path(root.path) / file.rel_path, file) for file, root in rows if file.file_sha256 is not None]


def check_originals(files: Sequence[tuple[Path, SourceFile]]) -> Iterator[Finding]:
    """Files that look as they did when they were read: are their bytes the same? Changed ones are for level stat.

    Outside of any transaction: reading an archive takes hours.
    """
    for path, file in files:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as opened:
                status = os.fstat(descriptor)
                if (status.st_size, status.st_mtime_ns) != (file.probed_size, file.probed_mtime_ns):
                    continue
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        except FileNotFoundError:
            continue
        except OSError as fault:
            yield error("unreadable_file", str(path), f"cannot be read: {fault.strerror}", "Check the disk or share")
            continue
        if digest != file.file_sha256:
            yield error(
                "original_changed",
                str(path),
                "has other bytes than when it was read, with the same size and time",
                "The disk may be failing: restore this file from your own backup",
                asset_id=file.asset_id,
            )
