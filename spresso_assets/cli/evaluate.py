"""`spresso evaluate`: how close decodes come to a folder of sounds, and the tables of the documentation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.evaluation.points import Point
    from spresso_assets.evaluation.summary import Row, Summary


def evaluate(
    ctx: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Sounds to measure on.")] = None,
    profiles: Annotated[str, typer.Option(help="Operating points, with commas between; 'all'.")] = "all",
    qualities: Annotated[
        str, typer.Option(help="Qualities for all sounds: default, preview, paper; dpm16, heun18, best4.")
    ] = "default",
    samplers: Annotated[
        str,
        typer.Option(
            help="Further qualities, on the first sounds of some profiles; with 'paper' among them, each "
            "is also held against it."
        ),
    ] = "",
    sampler_profiles: Annotated[str, typer.Option(help="Profiles of --samplers.")] = "25hz,1.32kbps,0.096kbps",
    sampler_limit: Annotated[int, typer.Option(min=1, help="Sounds for --samplers.")] = 8,
    seeds: Annotated[
        int, typer.Option(min=1, help="Decodes per sound of --samplers or --systems; two or more give diversity.")
    ] = 1,
    split: Annotated[str, typer.Option(help="Rows of FOLDER/manifest.csv to take, if it is there; 'all'.")] = "val",
    limit: Annotated[int | None, typer.Option(min=1, help="Measure so many sounds, the same ones every time.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Length taken of each file; 0 takes all of it.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all decodes.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 lets torch decide.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for what was measured; with --systems also for the report and a listening test, or the name "
            "of a page that holds all of it (REPORT.html).",
        ),
    ] = None,
    systems: Annotated[
        str,
        typer.Option(
            help="Compare codecs, with commas between: spresso, opus, mp3, vorbis, flac, lyra, encodec, dac, "
            "nearest-clip, ...; empty measures the bundle alone."
        ),
    ] = "",
    weights: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Weights of a system; may be repeated.")
    ] = None,
    embedder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=PATH]",
            help="By what sets are compared: hand-made; yamnet=FILE.tflite, vggish=FILE.safetensors, clap=FOLDER. "
            "May be repeated.",
        ),
    ] = None,
    library: Annotated[
        Path | None, typer.Option(help="Sounds that nearest-clip may answer with: those of the training.")
    ] = None,
    max_kbps: Annotated[
        float | None, typer.Option(min=0, help="Leave out points of --systems with a higher nominal rate.")
    ] = None,
    timed: Annotated[
        int, typer.Option(min=0, help="Time so many sounds once more in --systems, at one thread and at two.")
    ] = 0,
    heard: Annotated[int, typer.Option(min=0, help="How many of the worst sounds the report plays.")] = 24,
    ratings: Annotated[
        list[Path] | None,
        typer.Option(help="Answers of the listening test (CSV): says what they amount to; may be repeated."),
    ] = None,
    docs: Annotated[
        list[Path] | None, typer.Option("--docs", help="Page whose measured tables are made anew; may be repeated.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A summary.json to show or to put into --docs; measures nothing.")
    ] = None,
) -> None:
    """Measure the bundle: quality against floors and ceiling, true bit rates, speed, samplers.

    With --systems, measure it beside other codecs, and write a report with players and a blind listening test. With
    --out, every measurement is kept as it is made, and the same command goes on where it was stopped. Files that cannot
    be read are named, left out and counted.
    """
    state = state_of(ctx)
    if ratings:
        from spresso_assets.cli.evaluate_systems import verdict_lines
        from spresso_assets.evaluation.mushra import verdict

        said = verdict(ratings)
        state.out.result(dataclasses.asdict(said), lambda: verdict_lines(said))
        return
    if systems:
        from spresso_assets.cli import evaluate_systems
        from spresso_assets.codec.config import OPERATING_POINTS

        wanted = evaluate_systems.Wanted(
            folder=_needed(folder),
            split=None if split == "all" else split,
            limit=limit,
            systems=_names(systems),
            profiles=list(OPERATING_POINTS) if profiles == "all" else _names(profiles),
            weights=weights or [],
            embedders=embedder or ["hand-made"],
            library=library,
            seconds=seconds or None,
            seed=seed,
            takes=seeds,
            threads=threads,
            max_kbps=max_kbps,
            heard=heard,
            timed=timed,
            out=out,
            docs=docs or [],
        )
        found = evaluate_systems.compare(state, wanted)
        state.out.result(found.as_dict(), lambda: evaluate_systems.lines_of(found))
        return
    from spresso_assets.evaluation.summary import Summary
    from spresso_assets.evaluation.tables import TABLES, read_page, renewed
    from spresso_assets.export.files import write_bytes

    pages = {page: read_page(page) for page in docs or []}
    if source is not None:
        summary = Summary.read(source)
    else:
        folder = _needed(folder)
        points = _points(profiles, qualities, samplers, sampler_profiles, sampler_limit, seeds)
        summary = _measured(state, folder, points, split, limit, seconds or None, seed, threads, out)
    for page, text in pages.items():
        write_bytes(page, renewed(text, lambda name: TABLES[name](summary)).encode())
        state.out.note(f"{page}: tables made anew")
    state.out.result(summary.as_dict(), lambda: lines_of(summary))


def _needed(folder: Path | None) -> Path:
    if folder is None:
        raise SpressoError(
            "there is nothing to measure",
            code="usage",
            hint="Name a folder of sounds, or --from summary.json.",
            exit_code=ExitCode.USAGE,
        )
    return folder


def _points(
    profiles: str, qualities: str, samplers: str, sampler_profiles: str, sampler_limit: int, seeds: int
) -> list[Point]:
    from spresso_assets.codec.config import OPERATING_POINTS
    from spresso_assets.evaluation.points import standard_points

    few = _names(sampler_profiles) if samplers else []
    return standard_points(
        OPERATING_POINTS if profiles == "all" else _names(profiles),
        _names(qualities),
        samplers=_names(samplers),
        sampler_profiles=few,
        sampler_limit=sampler_limit,
        seeds=seeds,
    )


def _measured(
    state: State,
    folder: Path,
    points: list[Point],
    split: str,
    limit: int | None,
    seconds: float | None,
    seed: int,
    threads: int,
    out: Path | None,
) -> Summary:
    from spresso_assets.evaluation.measure import conditions, measure
    from spresso_assets.evaluation.records import Records
    from spresso_assets.evaluation.sounds import choose, read_sounds
    from spresso_assets.export.files import make_folder, write_bytes
    from spresso_assets.ingest.globs import AUDIO_SUFFIXES

    names = choose(folder, AUDIO_SUFFIXES, None if split == "all" else split, limit)
    codec = state.codec()
    if threads:
        import torch

        torch.set_num_threads(threads)
    if out is not None:
        make_folder(out)
    records = Records(conditions(codec, seed, seconds), None if out is None else out / "records.jsonl")
    left_out: Counter[str] = Counter()

    def unreadable(name: str, error: SpressoError) -> None:
        left_out["unreadable"] += 1
        state.out.failure(str(folder / name), error)

    def unfit(name: str, error: SpressoError) -> None:
        left_out[error.code] += 1
        state.out.note(f"{folder / name}: left out, {error.message}")

    with state.out.progress("measuring", "sounds") as progress:
        summary = measure(
            codec,
            read_sounds(folder, names, seconds, unreadable),
            points,
            seed=seed,
            records=records,
            skip=unfit,
            progress=lambda done, name: progress.update(done + left_out.total(), len(names), format.shorten(name, 40)),
        )
    summary = dataclasses.replace(summary, skipped=dict(left_out))
    if out is not None:
        write_bytes(out / "summary.json", summary.to_json().encode())
    return summary


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def lines_of(summary: Summary) -> list[str]:
    """The measurement as a person reads it."""
    from spresso_assets.evaluation.tables import conditions

    headers = ("WHAT", "QUALITY", "SOUNDS", "MEL", "ENVELOPE", "ONSETS", "LEVEL", "TRUE RATE", "ENCODE", "DECODE")
    table = format.columns(headers, [_cells(row) for row in summary.rows], right=(2, 3, 4, 5, 6, 7, 8, 9))
    return [conditions(summary).replace("`", ""), "", *table]


def _cells(row: Row) -> tuple[object, ...]:
    what = row.profile if row.method == "codec" else f"{row.method} {row.profile}".strip()

    def mean(name: str, pattern: str) -> str:
        spread = row.metrics.get(name)
        return pattern.format(spread.mean) if spread else "-"

    speeds = ["-" if s is None else f"{s:.1f} x" for s in (row.encode_speed, row.decode_speed)]
    figures = (mean("mel_distance", "{:.3f}"), mean("envelope_correlation", "{:.3f}"), mean("onset_f1", "{:.2f}"))
    return (what, row.quality, row.sounds, *figures, mean("level_error", "{:.1f} dB"), format.kbps(row.kbps), *speeds)
