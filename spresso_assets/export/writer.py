"""Write the sounds that match a query into a folder, with a manifest that maps each file back to its original."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.decode import Decoder, decode_asset, write_decoded
from spresso_assets.export.files import cannot_write, make_folder, write_bytes
from spresso_assets.export.naming import DEFAULT_TEMPLATE, Names, check_template, fill

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.search import AssetHit

KINDS = ("decoded", "original", "latent")
MANIFESTS = ("csv", "json")


@dataclass(frozen=True)
class Exported:
    """One line of the manifest: a file, and everything needed to conform back to the original."""

    file: str
    kind: str
    asset: str
    name: str
    original: str
    original_state: str
    profile: str
    seed: int | None
    weights_sha256: str
    seconds: float
    bytes: int
    skipped: bool


@dataclass(frozen=True)
class ExportPlan:
    """What to write, and how.

    Args:
        kind: 'decoded' sounds, 'original' files or 'latent' .spr files.
        template: see `naming`.
        suffix: '.wav' or '.flac' of decoded files.
        bit_depth: 16, 24 or 32 of decoded files.
        profile: None takes the best that there is.
        quality: of decoding.
        metadata: whether decoded files carry the descriptive fields.
        overwrite: replace files that are there; otherwise they are skipped.
    """

    kind: str = "decoded"
    template: str = DEFAULT_TEMPLATE
    suffix: str = ".wav"
    bit_depth: int = 24
    profile: str | None = None
    quality: str = "default"
    metadata: bool = True
    overwrite: bool = False

    def check(self) -> None:
        """Raise `bad_template` or `bad_format` before anything is written."""
        check_template(self.template)
        if self.kind not in KINDS:
            raise SpressoError(
                f"cannot export as '{self.kind}'",
                code="bad_format",
                hint=f"Choose one of {', '.join(KINDS)}.",
                exit_code=ExitCode.USAGE,
            )


def export(
    catalog: Catalog,
    codec: Callable[[], Decoder],
    query: str,
    folder: Path,
    plan: ExportPlan,
    *,
    on_failure: Callable[[str, SpressoError], None],
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
    dry_run: bool = False,
    limit: int | None = None,
) -> list[Exported]:
    """Write every sound that matches; one that fails is reported and the rest goes on.

    Args:
        catalog: the open catalog.
        codec: gives the loaded model; called only for decoded sounds.
        query: see `catalog.grammar`.
        folder: made if need be; must not lie in a watch root.
        plan: what to write.
        on_failure: called with the sound's path and the error.
        on_progress: called with sounds done, sounds in all, and a name.
        dry_run: say what would be written.
        limit: at most so many sounds.

    Raises:
        SpressoError: `no_match`, `bad_template`, `bad_format`, `target_in_root`, `cannot_write`.
    """
    from spresso_assets.catalog.search import search

    plan.check()
    _refuse_inside_root(catalog, folder)
    with catalog.read() as session:
        hits = search(session, query, limit)
    if not hits:
        raise SpressoError(
            f"no sound matches '{query}'", code="no_match", hint="Use fewer words.", exit_code=ExitCode.NOT_FOUND
        )
    done: list[Exported] = []
    names = Names()
    for number, hit in enumerate(hits):
        on_progress(number, len(hits), hit.name)
        try:
            done.append(_export_one(catalog, codec, hit, folder, plan, names, dry_run))
        except SpressoError as error:
            if error.exit_code is ExitCode.MODEL_MISSING:
                raise
            on_failure(f"{hit.root}/{hit.path}", error)
    on_progress(len(hits), len(hits), "")
    return done


def _export_one(
    catalog: Catalog,
    codec: Callable[[], Decoder],
    hit: AssetHit,
    folder: Path,
    plan: ExportPlan,
    names: Names,
    dry_run: bool,
) -> Exported:
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.renditions import get_payload

    suffix = {"decoded": plan.suffix, "latent": ".spr", "original": Path(hit.path).suffix}[plan.kind]
    mark = "_spr" if plan.kind == "decoded" else ""  # so that nobody takes it for the original in a long list
    profile, seed, weights, payload = "", None, "", b""
    with catalog.read() as session:
        asset = find_asset(session, hit.uid)
        columns = asset.model_dump(exclude={"peaks"})
        if plan.kind != "original":
            stored = get_payload(session, asset, plan.profile)
            profile, seed, weights, payload = stored.profile, stored.decode_seed, stored.weights_sha256, stored.payload
    values = {**columns, "name": hit.name, "id": hit.uid[:8], "profile": profile, "seed": seed, "folder": _parent(hit)}
    target = folder / (names.free(fill(plan.template, values) + mark) + suffix)
    skipped = target.exists() and not plan.overwrite
    if not (skipped or dry_run):
        make_folder(target.parent)
        if plan.kind == "original":
            _copy_original(Path(hit.full_path), target)
        elif plan.kind == "latent":
            write_bytes(target, payload)
        else:
            decoded = decode_asset(catalog, codec(), hit.uid, profile=profile, quality=plan.quality)
            write_decoded(decoded, target, bit_depth=plan.bit_depth, metadata=plan.metadata)
    return Exported(
        file=target.relative_to(folder).as_posix(),
        kind=plan.kind,
        asset=hit.uid,
        name=hit.name,
        original=hit.full_path,
        original_state=hit.file_state,
        profile=profile,
        seed=seed if plan.kind == "decoded" else None,
        weights_sha256=weights,
        seconds=hit.duration_s,
        bytes=target.stat().st_size if target.exists() else 0,
        skipped=skipped,
    )


def write_manifest(folder: Path, exported: list[Exported], form: str) -> Path:
    """Write `manifest.csv` or `manifest.json` into the export folder; returns its path."""
    if form not in MANIFESTS:
        raise SpressoError(
            f"no manifest form '{form}'",
            code="bad_format",
            hint=f"Choose one of {', '.join(MANIFESTS)}.",
            exit_code=ExitCode.USAGE,
        )
    rows: list[dict[str, Any]] = [asdict(item) for item in exported]
    if form == "json":
        text = json.dumps(rows, indent=2)
    else:
        sheet = io.StringIO()
        writer = csv.DictWriter(sheet, list(Exported.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        text = sheet.getvalue()
    target = folder / f"manifest.{form}"
    write_bytes(target, text.encode("utf-8", "surrogateescape"))
    return target


def _copy_original(source: Path, target: Path) -> None:
    """Copy byte for byte, verified; every chunk of the original survives."""
    temporary = target.parent / f".spresso-{os.getpid()}.part"
    try:
        with source.open("rb") as reading, temporary.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
        if not _equal(source, temporary):
            raise SpressoError(f"{source} changed while it was copied", code="changed_while_reading")
        shutil.copystat(source, temporary)
        temporary.replace(target)
    except OSError as error:
        if not source.exists():
            raise SpressoError(
                f"the original {source} is not there",
                code="file_missing",
                hint="Mount its drive, or export it decoded.",
            ) from error
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):  # where there is no folder there is nothing to remove
            temporary.unlink()


def _equal(first: Path, second: Path) -> bool:
    with first.open("rb") as a, second.open("rb") as b:
        return hashlib.file_digest(a, "sha256").digest() == hashlib.file_digest(b, "sha256").digest()


def _refuse_inside_root(catalog: Catalog, folder: Path) -> None:
    from spresso_assets.ingest.roots import root_of_path

    with catalog.read() as session:
        inside = root_of_path(session, folder)
    if inside is not None:
        raise SpressoError(
            f"{folder} lies in root '{inside[0].name}': exported sounds would be taken for new ones",
            code="target_in_root",
            hint="Choose a folder outside of your roots.",
            exit_code=ExitCode.USAGE,
        )


def _parent(hit: AssetHit) -> str:
    return Path(hit.path).parent.name
