"""`spresso train fit`: adapt a bundle to an archive, and tell what it brought on sounds that it was not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import SpressoError

if TYPE_CHECKING:
    from spresso_assets.codec.codec import SPresso
    from spresso_assets.evaluation.summary import Summary

REPORT = "fit-report.json"
METRICS = ("mel_distance", "envelope_correlation")


def fit(
    ctx: typer.Context,
    archive: Annotated[Path, typer.Argument(help="Folder of sounds; a manifest.csv (path, split) is honoured.")],
    out: Annotated[Path, typer.Argument(help="Folder to write the fitted bundle to.")],
    base: Annotated[str, typer.Option("--base", help="Bundle to start from; 'small' is the shipped one.")] = "small",
    run: Annotated[
        Path, typer.Option("--run", help="Folder of the training run; the same command continues it.")
    ] = Path("runs/fit"),
    max_minutes: Annotated[float, typer.Option("--max-minutes", help="Training time, summed over resumed runs.")] = 120,
    profiles: Annotated[str, typer.Option(help="Profiles to measure, with commas between.")] = "1.32kbps,0.3kbps",
    limit: Annotated[int, typer.Option(min=1, help="Held-out sounds to measure.")] = 40,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with a table [fit].")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0 lets torch decide.")] = 0,
) -> None:
    """Adapt a bundle to your own archive: adapter, quantizers and preview; then compare it on held-out sounds.

    Stopped or killed, the same command goes on where it was. The bundle is written whether or not it is better: the
    report says which it is.
    """
    state = state_of(ctx)
    import torch

    from spresso_assets.codec.bundle import default_bundle, load_bundle
    from spresso_assets.training.assemble import assemble
    from spresso_assets.training.data import list_items
    from spresso_assets.training.fit import FitConfig, fit
    from spresso_assets.training.settings import apply, read_table
    from spresso_assets.training.source import Source

    if threads:
        torch.set_num_threads(threads)
    folder = default_bundle() if base == "small" else Path(base)
    held_out = sorted(str(i.path.relative_to(archive)) for i in list_items(archive) if i.split == "val")[:limit]
    before = load_bundle(folder)
    points = [name.strip() for name in profiles.split(",") if name.strip()]
    for name in points:
        before.operating_point(name)
    source = Source(run, folder)
    options = apply(FitConfig(), read_table(config, "fit"))
    fit(
        before.config,
        archive,
        source,
        max_minutes,
        options,
        autoencoder=before.networks.autoencoder,
        device=device,
        tell=state.out.note,
    )
    digest = assemble(before.config, run, out, base=folder)
    state.out.note(f"bundle {digest[:12]} written to {out}; measuring on {len(held_out)} held-out sounds")
    old = _measured(state, before, archive, held_out, points, run / f"before-{before.model_id}.jsonl")
    new = _measured(state, load_bundle(out), archive, held_out, points, run / f"after-{digest[:6]}.jsonl")
    report = {
        "bundle": str(out),
        "weights_sha256": digest,
        "sounds": old.sounds,
        "profiles": [{"profile": name, "before": _figures(old, name), "after": _figures(new, name)} for name in points],
    }
    (run / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    state.out.result(report, lambda: _lines(report))


def _measured(
    state: State, codec: SPresso, archive: Path, names: list[str], profiles: list[str], records: Path
) -> Summary:
    from spresso_assets.evaluation.measure import conditions, measure
    from spresso_assets.evaluation.points import Point
    from spresso_assets.evaluation.records import Records
    from spresso_assets.evaluation.sounds import read_sounds

    def left_out(name: str, error: SpressoError) -> None:
        state.out.failure(str(archive / name), error)

    with state.out.progress("measuring", "sounds") as progress:
        return measure(
            codec,
            read_sounds(archive, names, 5.0, left_out),
            [Point(profile, "default") for profile in profiles],
            records=Records(conditions(codec, 0, 5.0), records),
            skip=left_out,
            progress=lambda done, name: progress.update(done, len(names), format.shorten(name, 40)),
        )


def _figures(summary: Summary, profile: str) -> dict[str, float | None]:
    row = summary.find(profile, "default")
    spreads = {name: row.metrics.get(name) if row else None for name in METRICS}
    return {name: round(s.mean, 4) if s else None for name, s in spreads.items()}


def _lines(report: dict[str, object]) -> list[str]:
    rows = []
    entries = report["profiles"]
    assert isinstance(entries, list)
    for entry in entries:
        old, new = entry["before"], entry["after"]
        change = (
            "-"
            if old["mel_distance"] is None or new["mel_distance"] is None
            else f"{100 * (new['mel_distance'] / old['mel_distance'] - 1):+.1f} %"
        )
        cells = [f"{side[name]:.3f}" if side[name] is not None else "-" for name in METRICS for side in (old, new)]
        rows.append((entry["profile"], *cells[:2], change, *cells[2:]))
    head = ("PROFILE", "MEL BEFORE", "AFTER", "CHANGE", "ENVELOPE BEFORE", "AFTER")
    return [
        *format.columns(head, rows, right=(1, 2, 3, 4, 5)),
        "Mel distance: lower is better; envelope correlation: higher is. Both on held-out sounds.",
    ]
