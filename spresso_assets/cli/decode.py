"""`spresso decode`: get sounds back out of the catalog, as many variations as wanted."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spresso_assets.catalog.engine import Catalog
    from spresso_assets.cli.output import Progress
    from spresso_assets.jobs.deliver import Request


def decode(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of sounds, or their first digits.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write, or a folder; here by default.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Which encoding to use; the best one by default.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Variation; the same number gives the same sound.")] = None,
    variations: Annotated[int, typer.Option(min=1, max=1000, help="Make so many variations of each sound.")] = 1,
    quality: Annotated[str, typer.Option(help="preview (fastest), default or paper (slowest).")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps instead of the quality's own.")] = None,
    form: Annotated[str, typer.Option("--format", help="wav or flac, when no file name says it.")] = "wav",
    bit_depth: Annotated[int, typer.Option(help="16, 24, or 32 (float).")] = 24,
    workers: Annotated[bool, typer.Option("--workers", help="Let background workers decode; no model here.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")] = False,
) -> None:
    """Decode sounds to files of the original's length and rate.

    Without --seed everybody gets the same first variation of a sound; --variations 3 gives that one and two more.
    The files say in their metadata that they are re-synthesised, from what, and how.
    """
    state = state_of(ctx)
    from spresso_assets.export.decode import decode_asset, write_decoded
    from spresso_assets.export.files import make_folder

    catalog = state.catalog()
    one_file = output is not None and output.suffix.lower() in (".wav", ".flac")
    if one_file and (len(ids) > 1 or variations > 1):
        raise SpressoError(
            f"{output} is one file, but several sounds are asked for",
            code="usage",
            hint="Name a folder instead.",
            exit_code=ExitCode.USAGE,
        )
    plan = []
    for id_ in ids:
        try:
            plan += _plan(catalog, id_, profile, seed, variations, output, one_file, form)
        except SpressoError as error:
            if len(ids) == 1:
                raise
            state.out.failure(id_, error)
    codec = None if dry_run or workers else state.codec()
    orders: dict[tuple[str, int], Request | SpressoError] = {}
    if workers and not dry_run:
        # all are asked for before the first is waited for: several workers share them
        orders = _order(state, catalog, plan, profile=profile, seed=seed, quality=quality, steps=steps)
    records: list[dict[str, Any]] = []
    with state.out.progress("decoding", "sounds") as progress:
        for number, (uid, variation, target) in enumerate(plan):
            progress.update(number, len(plan), target.name)
            try:
                if target.exists() and not force:
                    raise SpressoError(
                        f"{target} exists already", code="target_exists", hint="Say --force to replace it."
                    )
                if dry_run:
                    records.append({"asset": uid, "path": str(target), "dry_run": True})
                    continue
                decoder = codec or _fetch(catalog, orders[uid, variation], progress, target.name)
                decoded = decode_asset(
                    catalog,
                    decoder,
                    uid,
                    profile=profile,
                    seed=seed,
                    variation=variation,
                    quality=quality,
                    steps=steps,
                )
                make_folder(target.parent)
                write_decoded(decoded, target, bit_depth=bit_depth)
                summary = decoded.summary()
                records.append({**decoded.record(), "path": str(target), "dry_run": False, "summary": summary})
            except SpressoError as error:
                if len(plan) == 1 or error.exit_code is ExitCode.MODEL_MISSING:
                    raise
                state.out.failure(str(target), error)

    def text() -> list[str]:
        return [f"{format.printable(r['path'])}: {r.get('summary', 'would be written')}" for r in records]

    state.out.result(records, text)


def _plan(
    catalog: Any,
    id_: str,
    profile: str | None,
    seed: int | None,
    variations: int,
    output: Path | None,
    one_file: bool,
    form: str,
) -> list[tuple[str, int, Path]]:
    """(uid, variation, target) of one id; raises before anything is decoded."""
    from spresso_assets.catalog.assets import find_asset
    from spresso_assets.catalog.renditions import get_payload
    from spresso_assets.catalog.search import search
    from spresso_assets.export.naming import safe

    with catalog.read() as session:
        asset = find_asset(session, id_)
        stored = get_payload(session, asset, profile)
        name = search(session, f"id:{asset.uid}", 1)[0].name
    if one_file and output is not None:
        return [(asset.uid, 0, output)]
    folder = output or Path()
    first = stored.decode_seed if seed is None else seed
    stem = f"{safe(name) or asset.uid[:8]}_spr"
    return [
        (asset.uid, n, folder / f"{stem}{f'_{first + n}' if variations > 1 or seed is not None else ''}.{form.lower()}")
        for n in range(variations)
    ]


def _order(
    state: State, catalog: Catalog, plan: list[tuple[str, int, Path]], **how: Any
) -> dict[tuple[str, int], Request | SpressoError]:
    """Ask the workers for everything, and wake them up; what cannot be asked for fails when its turn comes."""
    from spresso_assets.jobs.deliver import request_decode
    from workers.doorbell import ring

    orders: dict[tuple[str, int], Request | SpressoError] = {}
    for uid, variation, _ in plan:
        try:
            orders[uid, variation] = request_decode(catalog, uid, variation=variation, format="wav32", **how)
        except SpressoError as error:
            orders[uid, variation] = error
    if state.settings.broker_url is not None:
        asked = [order for order in orders.values() if not isinstance(order, SpressoError)]
        ring((order.job_uid, "decode") for order in asked if order.job_uid)
    return orders


def _fetch(catalog: Catalog, order: Request | SpressoError, progress: Progress, name: str) -> _Delivered:
    """Wait for one order."""
    if isinstance(order, SpressoError):
        raise order
    from sqlmodel import col, select

    from spresso_assets.catalog.models import CodecModel, EncodeProfile
    from spresso_assets.jobs.deliver import Waiting, wait_for_delivery

    def show(waiting: Waiting) -> None:
        progress.update(waiting.progress, 1.0, waiting.hindrance or f"{name}, {waiting.status}", "workers")

    delivery = wait_for_delivery(catalog, order, on_waiting=show)
    with catalog.read() as session:
        model = session.exec(
            select(CodecModel)
            .join(EncodeProfile, col(EncodeProfile.model_id) == col(CodecModel.id))
            .where(EncodeProfile.name == order.profile, CodecModel.weights_sha256 == order.weights_sha256)
        ).one()
    return _Delivered(model.name, model.weights_sha256, delivery.content)


@dataclass
class _Delivered:
    """Stands in for the decoder where a worker has decoded already; the file is then made as ever."""

    name: str
    weights_sha256: str
    content: bytes

    def decode_stream(
        self, payload: bytes, seed: int = 0, steps: int | None = None, quality: str = "default"
    ) -> Iterator[NDArray[np.float32]]:
        """The delivered samples, block by block."""
        import soundfile

        with soundfile.SoundFile(io.BytesIO(self.content)) as sound:
            for block in sound.blocks(1 << 16, dtype="float32", always_2d=True):
                yield block.T
