"""A part of the archive as a folder that explains itself: what it holds, how it was made, and how to check it.

    bundle.json                     format, models, profiles
    sounds/3f/3f2a….json            everything known of one sound
    sounds/3f/3f2a….2.5kbps.spr     its latents, one file per profile
    SHA256SUMS                      of every file above, for `sha256sum -c`; written last, so it says: all is here

Another catalog takes it in with `spresso db import`; without any catalog each .spr decodes by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spresso_assets.catalog.columns import iso_utc, now_us
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.files import make_folder, write_bytes

if TYPE_CHECKING:
    from sqlmodel import Session

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.models import Asset

FORMAT = "spresso-bundle"
VERSION = 1
HEAD = "bundle.json"
SUMS = "SHA256SUMS"
MODEL_FACTS = ("name", "version", "weights_sha256", "latent_kind", "latent_dim", "sample_rate", "license")
PROFILE_FACTS = ("name", "params", "params_hash", "nominal_kbps", "frame_rate_hz", "channel_mode", "state")
RENDITION_FACTS = ("encoder_build", "channels", "decode_seed", "origin", "parent_uid", "generation", "quality")
SOUND_FACTS = (
    *("audio_hash", "frames", "duration", "sample_rate", "channels", "channel_layout", "bit_depth", "container"),
    *("flags", "loudness"),
)


@dataclass(frozen=True)
class Taken:
    """What an import did with one sound: ``new``, ``known``, and how many renditions it brought."""

    asset: str
    name: str
    outcome: str
    renditions: int


def write_bundle(
    catalog: Catalog,
    asset_ids: list[int],
    folder: Path,
    *,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> list[dict[str, Any]]:
    """Write some sounds with everything known of them; returns the sums, one record per file.

    Raises:
        SpressoError: ``target_exists`` if the folder holds something else than an unfinished bundle; ``cannot_write``.
    """
    if folder.exists() and any(folder.iterdir()) and (not (folder / HEAD).exists() or (folder / SUMS).exists()):
        raise SpressoError(
            f"{folder} holds something already", code="target_exists", hint="A bundle gets a folder of its own."
        )
    make_folder(folder)
    written: list[dict[str, Any]] = []

    def write(name: str, content: bytes) -> None:
        make_folder((folder / name).parent)
        write_bytes(folder / name, content)
        written.append({"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    with catalog.read() as session:
        head = _head(session, len(asset_ids))
    write(HEAD, _json(head))
    for number, asset_id in enumerate(asset_ids):
        on_progress(number, len(asset_ids), "")
        with catalog.read() as session:
            record, payloads = _sound(session, asset_id)
        for name, payload in payloads.items():
            write(name, payload)
        write(f"{_place(record['uid'])}.json", _json(record))
    write_bytes(folder / SUMS, "".join(f"{item['sha256']}  {item['file']}\n" for item in written).encode())
    on_progress(len(asset_ids), len(asset_ids), "")
    return written


def read_bundle(
    catalog: Catalog,
    folder: Path,
    *,
    on_failure: Callable[[str, SpressoError], None],
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
    dry_run: bool = False,
) -> list[Taken]:
    """Take a bundle's sounds into a catalog, one transaction per sound: new ones, and what known ones lack.

    Nothing that the catalog has is replaced. A damaged file is reported and the rest goes on.

    Raises:
        SpressoError: ``not_a_bundle``, ``bundle_newer``.
    """
    head = _read_head(folder)
    sums = _read_sums(folder)
    names = [name for name in sums if name.endswith(".json") and name != HEAD]
    done: list[Taken] = []
    for number, name in enumerate(names):
        on_progress(number, len(names), name)
        try:
            record = json.loads(_checked(folder, name, sums))
            files = {made["file"] for made in record["renditions"]}
            payloads = {file: _checked(folder, file, sums) for file in files}
            done.append(_take_in(catalog, head, record, payloads, dry_run))
        except SpressoError as error:
            on_failure(name, error)
    on_progress(len(names), len(names), "")
    return done


def _head(session: Session, sounds: int) -> dict[str, Any]:
    from sqlmodel import select

    from spresso_assets import __version__
    from spresso_assets.catalog.models import CodecModel, EncodeProfile

    models = {model.id: model for model in session.exec(select(CodecModel)).all()}
    profiles = session.exec(select(EncodeProfile)).all()
    return {
        "format": FORMAT,
        "version": VERSION,
        "made": iso_utc(now_us()),
        "made_by": f"spresso-assets {__version__}",
        "sounds": sounds,
        "models": [{fact: getattr(model, fact) for fact in MODEL_FACTS} for model in models.values()],
        "profiles": [
            {
                **{fact: getattr(profile, fact) for fact in PROFILE_FACTS},
                "weights_sha256": models[profile.model_id].weights_sha256,
            }
            for profile in profiles
        ],
    }


def _sound(session: Session, asset_id: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    from sqlmodel import col, select

    from spresso_assets.catalog.details import describe
    from spresso_assets.catalog.models import Asset, CodecModel, EncodeProfile, Rendition

    asset = session.get_one(Asset, asset_id)
    record = describe(session, asset)
    record |= {fact: getattr(asset, fact) for fact in SOUND_FACTS}
    record["renditions"], payloads = [], {}
    rows = session.exec(
        select(Rendition, EncodeProfile, CodecModel)
        .join(EncodeProfile, col(Rendition.profile_id) == col(EncodeProfile.id))
        .join(CodecModel, col(EncodeProfile.model_id) == col(CodecModel.id))
        .where(Rendition.asset_id == asset_id, Rendition.status == "ready")
        .order_by(col(Rendition.id))
    ).all()
    for rendition, profile, model in rows:
        name = f"{_place(asset.uid)}.{profile.name}.spr"
        if name in payloads:  # the same name under other weights
            name = f"{_place(asset.uid)}.{profile.name}.{model.weights_sha256[:8]}.spr"
        payloads[name] = rendition.payload
        facts = {fact: getattr(rendition, fact) for fact in RENDITION_FACTS}
        record["renditions"].append(
            {
                "file": name,
                "profile": profile.name,
                "params_hash": profile.params_hash,
                "weights_sha256": model.weights_sha256,
                "sha256": rendition.payload_sha256,
                **facts,
            }
        )
    return record, payloads


def _take_in(
    catalog: Catalog, head: dict[str, Any], record: dict[str, Any], payloads: dict[str, bytes], dry_run: bool
) -> Taken:
    from sqlmodel import select

    from spresso_assets.catalog.models import Asset
    from spresso_assets.catalog.renditions import has_rendition, store_rendition

    with catalog.session() as session:
        asset = session.exec(select(Asset).where(Asset.audio_hash == record["audio_hash"])).first()
        outcome = "known" if asset is not None and asset.deleted_at is None else "new"
        if dry_run:
            return Taken(record["uid"], _name(record), outcome, len(payloads))
        if asset is None:
            asset = _new_asset(session, record)
        asset.deleted_at = None
        assert asset.id is not None
        if outcome == "new":
            _describe_again(session, asset, record)
        brought = 0
        for made in record["renditions"]:
            profile = _profile(session, head, made)
            if profile.id is None or has_rendition(session, asset.id, profile.id):
                continue
            facts = {fact: made[fact] for fact in ("channels", "quality", "encoder_build", "decode_seed")}
            rendition = store_rendition(session, asset, profile, payloads[made["file"]], **facts)
            rendition.sqlmodel_update({fact: made[fact] for fact in ("origin", "parent_uid", "generation")})
            session.add(rendition)
            brought += 1
        return Taken(asset.uid, _name(record), outcome, brought)


def _new_asset(session: Session, record: dict[str, Any]) -> Asset:
    from spresso_assets.catalog.assets import uid_of_hash
    from spresso_assets.catalog.models import Asset

    peaks = bytes(value & 0xFF for value in record.get("peaks") or [])
    facts = {fact: record[fact] for fact in SOUND_FACTS}
    asset = Asset(uid=uid_of_hash(record["audio_hash"]), peaks=peaks or None, **facts)
    session.add(asset)
    session.flush()
    return asset


def _describe_again(session: Session, asset: Asset, record: dict[str, Any]) -> None:
    """What was known of the sound, each value under the source that it came from."""
    from spresso_assets.catalog.assets import resolve
    from spresso_assets.catalog.editing import add_tags
    from spresso_assets.catalog.models import AssetField

    assert asset.id is not None
    for name, field in record["fields"].items():
        source = field["source"] or "folder"
        session.add(AssetField(asset_id=asset.id, field=name, source=source, value=str(field["value"])))
    resolve(session, asset.id)
    add_tags(session, asset, record["tags"], "import")


def _profile(session: Session, head: dict[str, Any], made: dict[str, Any]) -> Any:
    """The profile of a rendition, registered as a retired one if this catalog has no such weights."""
    from sqlmodel import select

    from spresso_assets.catalog.models import EncodeProfile
    from spresso_assets.catalog.profiles import ensure_model

    facts = next(model for model in head["models"] if model["weights_sha256"] == made["weights_sha256"])
    others = {key: facts[key] for key in MODEL_FACTS if key not in ("name", "weights_sha256")}
    model = ensure_model(session, facts["name"], facts["weights_sha256"], **others)
    assert model.id is not None
    statement = select(EncodeProfile).where(
        EncodeProfile.model_id == model.id, EncodeProfile.params_hash == made["params_hash"]
    )
    profile = session.exec(statement).first()
    if profile is None:
        told = next(
            one
            for one in head["profiles"]
            if (one["weights_sha256"], one["params_hash"]) == (made["weights_sha256"], made["params_hash"])
        )
        profile = EncodeProfile(
            model_id=model.id, **{fact: told[fact] for fact in PROFILE_FACTS} | {"state": "retired"}
        )
        session.add(profile)
        session.flush()
    return profile


def _read_head(folder: Path) -> dict[str, Any]:
    try:
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _no_bundle(folder, f"{HEAD} cannot be read") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise _no_bundle(folder, f"{HEAD} is of something else")
    if head["version"] > VERSION:
        raise SpressoError(
            f"{folder} was written by a newer version",
            code="bundle_newer",
            hint="Update spresso-assets on this machine.",
        )
    return head


def _read_sums(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _no_bundle(folder, f"it has no {SUMS}: its export did not end, run it again") from error
    sums = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise _no_bundle(folder, f"{SUMS} leads out of its folder")
        sums[name] = digest
    return sums


def _checked(folder: Path, name: str, sums: dict[str, str]) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != sums.get(name):
        raise SpressoError(f"{name} is damaged or missing", code="bundle_damaged", hint="Copy the bundle again.")
    return content


def _no_bundle(folder: Path, why: str) -> SpressoError:
    return SpressoError(
        f"{folder} is no bundle: {why}",
        code="not_a_bundle",
        hint="Name the folder of 'spresso export QUERY FOLDER --as bundle'.",
        exit_code=ExitCode.USAGE,
    )


def _place(uid: str) -> str:
    return f"sounds/{uid[:2]}/{uid}"


def _name(record: dict[str, Any]) -> str:
    return str(record["fields"].get("fx_name", {}).get("value") or record["uid"][:8])


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=1, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")
