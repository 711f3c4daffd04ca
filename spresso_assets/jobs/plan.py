"""What work there is to do: jobs for files that want probing and for sounds that want encoding."""

from dataclasses import dataclass

from sqlmodel import Session

from spresso_assets.catalog.models import Asset, EncodeProfile, SourceFile, WatchRoot
from spresso_assets.catalog.profiles import get_profile
from spresso_assets.catalog.renditions import has_rendition, missing_assets
from spresso_assets.errors import SpressoError
from spresso_assets.jobs.queue import enqueue


@dataclass(frozen=True)
class Plan:
    """Sounds that a profile still lacks, before anybody says yes."""

    profile: str
    assets: list[Asset]
    seconds: float
    estimated_bytes: int


def enqueue_probe(
    session: Session,
    source_file: SourceFile,
    *,
    trigger: str = "cli",
    encode: bool = True,
    profile: str | None = None,
    batch_id: int | None = None,
) -> str | None:
    """Ask for a file to be looked at, as it is now; another size or time is other work.

    Args:
        encode: encode the sound afterwards.
        profile: under this profile; None for the root's, else the catalog's default.

    Returns:
        the new job's uid, None if this work is waiting, running or done: between a scan's look and its writing, a
        worker may have read the file.
    """
    session.flush()
    session.refresh(source_file, ["asset_id", "probed_size", "probed_mtime_ns"], with_for_update=True)
    if source_file.asset_id is not None and (source_file.probed_size, source_file.probed_mtime_ns) == (
        source_file.size,
        source_file.mtime_ns,
    ):
        return None
    return enqueue(
        session,
        "probe",
        f"probe:{source_file.id}:{source_file.size}:{source_file.mtime_ns}",
        source_file_id=source_file.id,
        batch_id=batch_id,
        params={"encode": encode, "profile": profile},
        trigger=trigger,
    )


def enqueue_encode(
    session: Session,
    asset: Asset,
    profile: EncodeProfile,
    *,
    trigger: str = "cli",
    batch_id: int | None = None,
    priority: int = 0,
) -> str | None:
    """Ask for a sound to be encoded; None if it is, or is about to be."""
    assert asset.id is not None and profile.id is not None
    if has_rendition(session, asset.id, profile.id):
        return None
    return enqueue(
        session,
        "encode",
        f"encode:{asset.audio_hash}:{profile.id}",
        asset_id=asset.id,
        profile_id=profile.id,
        batch_id=batch_id,
        cost_s=asset.duration,
        priority=priority,
        trigger=trigger,
    )


def profile_for(session: Session, source_file: SourceFile, name: str | None = None) -> EncodeProfile | None:
    """The profile that a file's sound is to be encoded under; None while the catalog knows no model.

    The answer holds for a whole transaction, and a batch asks once per file: it is kept with the session.
    """
    key = ("profile_for", source_file.root_id, name)
    if key not in session.info:
        root = session.get_one(WatchRoot, source_file.root_id)
        try:
            session.info[key] = get_profile(session, name or root.default_profile)
        except SpressoError as error:
            if error.code != "no_profiles":
                raise
            session.info[key] = None
    profile: EncodeProfile | None = session.info[key]
    return profile


def plan_missing(session: Session, profile: EncodeProfile, asset_ids: set[int] | None = None) -> Plan:
    """Which sounds lack a profile, how long they are, and how many bytes they will take.

    Args:
        asset_ids: only these, for example from `search_ids`; None for all.
    """
    assets = [item for item in missing_assets(session, profile) if asset_ids is None or item.id in asset_ids]
    seconds = sum(asset.duration for asset in assets)
    return Plan(profile.name, assets, seconds, round(seconds * profile.nominal_kbps * 125))
