"""Write the sounds that match a query into a folder, with a manifest that maps each file back to its original."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.export.decode import SUBTYPES, Decoder, decode_asset, resampled, write_decoded
from spresso_assets.export.files import make_folder, write_bytes
from spresso_assets.export.manifest import Exported
from spresso_assets.export.naming import DEFAULT_TEMPLATE, Names, check_template, fill
from spresso_assets.export.originals import Original, copy_original, original_of
from spresso_assets.export.provenance import is_same_take

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.catalog.search import AssetHit

KINDS = ("decoded", "original", "latent", "bundle")
OVERWRITE = ("never", "changed", "always")


@dataclass(frozen=True)
class ExportPlan:
    """What to write, and how.

    Args:
        kind: 'decoded' sounds, 'original' files or 'latent' .spr files.
        template: see `naming`.
        suffix: '.wav' or '.flac' of decoded files.
        bit_depth: 16, 24 or 32 of decoded files.
        rate: Hz of decoded files; None for the original's.
        profile: None takes the best that there is.
        quality: of decoding.
        metadata: whether decoded files carry the descriptive fields.
        overwrite: what to do with a file that is there: 'never' replace it, replace what has 'changed' (another
            take, another original), or 'always'.
    """

    kind: str = "decoded"
    template: str = DEFAULT_TEMPLATE
    suffix: str = ".wav"
    bit_depth: int = 24
    rate: int | None = None
    profile: str | None = None
    quality: str = "default"
    metadata: bool = True
    overwrite: str = "never"

    def check(self) -> None:
        """Raise `bad_template` or `bad_format` before anything is written."""
        check_template(self.template)
        choices = ((self.kind, KINDS), (self.overwrite, OVERWRITE), (self.suffix, (".wav", ".flac")))
        for value, known in (*choices, (self.bit_depth, tuple(SUBTYPES))):
            if value not in known:
                raise SpressoError(
                    f"cannot export as '{value}'",
                    code="bad_format",
                    hint=f"Choose one of {', '.join(map(str, known))}.",
                    exit_code=ExitCode.USAGE,
                )
        if self.rate is not None:
            from spresso_assets.audio.resample import check_rate

            check_rate(self.rate)


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
    refuse_inside_root(catalog, folder)
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

    mark = "_spr" if plan.kind == "decoded" else ""  # so that nobody takes it for the original in a long list
    profile, seed, weights, payload = "", None, "", b""
    original = Original(Path(), Path(hit.full_path), hit.file_state, None)
    with catalog.read() as session:
        asset = find_asset(session, hit.uid)
        columns = asset.model_dump(exclude={"peaks"})
        if plan.kind == "original":
            assert asset.id is not None
            original = original_of(session, asset.id, asset.uid)
        else:
            stored = get_payload(session, asset, plan.profile)
            profile, seed, weights, payload = stored.profile, stored.decode_seed, stored.weights_sha256, stored.payload
    suffix = {"decoded": plan.suffix, "latent": ".spr", "original": original.path.suffix}[plan.kind]
    values = {**columns, "name": hit.name, "id": hit.uid[:8], "profile": profile, "seed": seed, "folder": _parent(hit)}
    target = folder / (names.free(fill(plan.template, values) + mark) + suffix)
    item = Exported(
        file=target.relative_to(folder).as_posix(),
        kind=plan.kind,
        asset=hit.uid,
        name=hit.name,
        original=str(original.path),
        original_state=original.state,
        profile=profile,
        seed=seed if plan.kind == "decoded" else None,
        weights_sha256=weights,
        seconds=hit.duration_s,
        bytes=0,
        sha256="",
        skipped=False,
    )
    if target.exists() and not _is_to_be_replaced(target, plan, item, original, payload):
        return replace(item, bytes=target.stat().st_size, skipped=True)
    if dry_run:
        return item
    make_folder(target.parent)
    digest = ""
    if plan.kind == "original":
        digest = copy_original(original, target)
    elif plan.kind == "latent":
        write_bytes(target, payload)
        digest = hashlib.sha256(payload).hexdigest()
    else:
        decoded = decode_asset(catalog, codec(), hit.uid, profile=profile, quality=plan.quality)
        if plan.rate is not None:
            decoded = resampled(decoded, plan.rate)
        write_decoded(decoded, target, bit_depth=plan.bit_depth, metadata=plan.metadata)
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return replace(item, bytes=target.stat().st_size, sha256=digest)


def _is_to_be_replaced(target: Path, plan: ExportPlan, item: Exported, original: Original, payload: bytes) -> bool:
    if plan.overwrite != "changed":
        return plan.overwrite == "always"
    if plan.kind == "decoded":
        take = {"ASSET": item.asset, "PROFILE": item.profile, "SEED": str(item.seed)}
        return not is_same_take(target, {**take, "WEIGHTS_SHA256": item.weights_sha256})
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return found != (original.sha256 if plan.kind == "original" else hashlib.sha256(payload).hexdigest())


def refuse_inside_root(catalog: Catalog, folder: Path) -> None:
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
