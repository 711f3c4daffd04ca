"""`spresso codec ...`: single files, without a catalog."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Single files, without a catalog.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]


@app.command()
def encode(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A sound file; it is only read.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.spr", help="Where the latent goes.")],
    profile: Annotated[str, typer.Option(help="Operating point, for example 25hz, 2.5kbps, 0.3kbps.")] = "2.5kbps",
    channels: Annotated[
        str,
        typer.Option(
            help="mono, parametric (mono and its stereo image) or dual (left and right apart, twice the bits)."
        ),
    ] = "mono",
    best_of: Annotated[
        int, typer.Option(min=1, max=1000, help="Decode so many variations and store which is closest; takes as long.")
    ] = 1,
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Encode a sound file into a .spr file of a few dozen bytes per second."""
    state = state_of(ctx)
    _refuse_existing(target, force)
    from spresso_assets.audio.read import iter_blocks, open_sound

    with open_sound(source) as sound:
        sample_rate = sound.sample_rate
    payload = state.codec().encode_stream(lambda: iter_blocks(source), sample_rate, profile, channels, best_of)
    if not dry_run:
        _write(target, payload)
    record = {"source": str(source), "target": str(target), "profile": profile, **facts(payload), "dry_run": dry_run}
    before = source.stat().st_size
    state.out.result(
        record,
        lambda: [
            f"{format.printable(str(target))}: {format.size(len(payload))}, {format.kbps(record['kbps'])}, "
            f"1:{before / len(payload):.0f} of {format.size(before)}" + (" (not written: dry run)" if dry_run else "")
        ],
    )


@app.command()
def decode(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="IN.spr", help="A .spr file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.wav", help="Sound file to write: .wav or .flac.")],
    seed: Annotated[
        int | None, typer.Option(min=0, help="Variation; by default the one that the file stores, or 0.")
    ] = None,
    quality: Annotated[str, typer.Option(help="preview (fastest), default or paper (slowest).")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Solver steps instead of the quality's own.")] = None,
    force: Force = False,
    dry_run: DryRun = False,
) -> None:
    """Decode a .spr file. The result has the original's length and rate, and says in its metadata what it is."""
    state = state_of(ctx)
    _refuse_existing(target, force)
    from spresso_assets.export.decode import decode_payload, write_decoded

    payload = _read(source)
    decoded = decode_payload(
        state.codec(), payload, seed=seed, quality=quality, steps=steps, profile=profile_of(payload)
    )
    if dry_run:
        deque(decoded.blocks, maxlen=0)
    else:
        write_decoded(decoded, target)
    record = {"source": str(source), "target": str(target), **decoded.record(), "dry_run": dry_run}
    state.out.result(record, lambda: [f"{format.printable(str(target))}: {decoded.summary()}"])


@app.command()
def info(
    ctx: typer.Context,
    sources: Annotated[list[Path], typer.Argument(metavar="IN.spr...", help=".spr files.")],
) -> None:
    """Show what is in .spr files, without loading a model."""
    state = state_of(ctx)
    records: list[dict[str, Any]] = []
    for source in sources:
        try:
            records.append({"path": str(source), **facts(_read(source))})
        except SpressoError as error:
            if len(sources) == 1:
                raise
            state.out.failure(str(source), error)

    def text() -> list[str]:
        return format.columns(
            ("FILE", "BYTES", "RATE", "LENGTH", "SAMPLE RATE", "CH", "MODE", "CODES", "MODEL"),
            [_row(record) for record in records],
            right=(1, 2, 3, 4, 5),
        )

    state.out.result(records, text)


def _row(record: dict[str, Any]) -> list[object]:
    codes = f"{record['codebooks']} x {record['bits']} bit" if record["codebooks"] else "continuous"
    rate, seconds = format.kbps(record["kbps"]), format.length(record["duration_s"])
    first = [record["path"], record["bytes"], rate, seconds]
    return [*first, record["sample_rate"], record["channels"], record["channel_mode"], codes, record["model_id"]]


def facts(payload: bytes) -> dict[str, Any]:
    """What a stream says about itself; raises the bit stream's own errors for damaged ones."""
    from spresso_assets.codec.bitstream import read_header, true_kbps
    from spresso_assets.codec.extension import stored_seed

    header = read_header(payload)
    return {
        "bytes": len(payload),
        "kbps": true_kbps(payload),
        "duration_s": header.samples / header.sample_rate,
        "samples": header.samples,
        "sample_rate": header.sample_rate,
        "channels": header.channels,
        "channel_mode": header.channel_mode,
        "frame_rate_hz": 100 / header.pool,
        "codebooks": header.codebooks,
        "bits": header.bits,
        "gain_db": header.gain_db,
        "silent": header.silent,
        "seed": stored_seed(header.extension),
        "model_id": header.model_id,
    }


def profile_of(payload: bytes) -> str:
    """The name of the operating point that a stream was made under."""
    from spresso_assets.codec.bitstream import read_header
    from spresso_assets.codec.config import OPERATING_POINTS

    header = read_header(payload)
    for name, point in OPERATING_POINTS.items():
        if (point.pool, point.codebooks) == (header.pool, header.codebooks):
            return name
    return f"{100 / header.pool:.3g} Hz"


def _refuse_existing(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise SpressoError(f"{target} exists already", code="target_exists", hint="Say --force to replace it.")


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise SpressoError(
            f"cannot read {source}: {error.strerror}",
            code="unreadable_file",
            hint="Check the path.",
            exit_code=ExitCode.NOT_FOUND if isinstance(error, FileNotFoundError) else ExitCode.FAILED,
        ) from error


def _write(target: Path, payload: bytes) -> None:
    from spresso_assets.export.files import write_bytes

    write_bytes(target, payload)
