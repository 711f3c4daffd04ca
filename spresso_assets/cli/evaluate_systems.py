"""`spresso evaluate --systems`: S-PRESSO beside other codecs on the same sounds, as a report and a listening test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spresso_assets.cli import format
from spresso_assets.cli.state import State
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.evaluation.comparison import Comparison, Row
    from spresso_assets.evaluation.embedders import Embedder
    from spresso_assets.evaluation.intervals import Estimate
    from spresso_assets.evaluation.listening import Listening
    from spresso_assets.evaluation.mushra import Verdict
    from spresso_assets.evaluation.records import Records
    from spresso_assets.evaluation.systems import Entry, System

NEAREST = "nearest-clip"
RATED = 8  # sounds of the listening test: half an hour


@dataclass(frozen=True)
class Wanted:
    """What the command line says.

    Attributes:
        split, limit: of the sounds, see `evaluation.sounds.choose`.
        weights: NAME=PATH, for systems.
        embedders: NAME or NAME=PATH.
        library: sounds that ``nearest-clip`` knows.
        heard: how many of the worst sounds the report plays.
        timed: how many sounds are timed at one and at two threads; these need random weights only, too.
        out: a folder, or a page with everything inside.
        docs: pages whose tables are made anew.
    """

    folder: Path
    split: str | None
    limit: int | None
    systems: Sequence[str]
    profiles: Sequence[str]
    weights: Sequence[str]
    embedders: Sequence[str]
    library: Path | None
    seconds: float | None
    seed: int
    takes: int
    threads: int
    max_kbps: float | None
    heard: int
    timed: int
    out: Path | None
    docs: Sequence[Path]


def compare(state: State, wanted: Wanted) -> Comparison:
    """Measure, and write what --out asks for.

    Raises:
        SpressoError: before anything is measured, for what is missing or unknown.
    """
    import torch

    from spresso_assets.evaluation.comparison_tables import COMPARISON_TABLES
    from spresso_assets.evaluation.listening import Listening
    from spresso_assets.evaluation.records import Records
    from spresso_assets.evaluation.sounds import choose
    from spresso_assets.evaluation.systems import entries
    from spresso_assets.evaluation.tables import read_page, renewed
    from spresso_assets.export.files import make_folder, write_bytes
    from spresso_assets.ingest.globs import AUDIO_SUFFIXES

    pages = {page: read_page(page, COMPARISON_TABLES) for page in wanted.docs}
    names = choose(wanted.folder, AUDIO_SUFFIXES, wanted.split, wanted.limit)
    if wanted.threads:
        torch.set_num_threads(wanted.threads)
    embedders = _embedders(wanted.embedders)
    systems, weights = _systems(state, wanted)
    points = entries(systems, wanted.max_kbps, weights)
    trained = _trained(points)
    conditions = _conditions(state, wanted)
    page, folder = _places(wanted.out)
    listening: Listening | None = None
    if folder is not None:
        make_folder(folder / "audio")
        listening = Listening(folder / "audio", conditions, weights)
    records = Records(conditions, None if folder is None else folder / "records.jsonl")
    found = _measured(state, wanted, trained, names, records, embedders)
    if wanted.timed:
        found = _timed(state, wanted, points, records, found)
    for path, text in pages.items():
        write_bytes(path, renewed(text, lambda name: COMPARISON_TABLES[name](found)).encode())
        state.out.note(f"{path}: tables made anew")
    if folder is not None and listening is not None and found.rows:
        write_bytes(folder / "comparison.json", found.to_json().encode())
        _pages(state, wanted, found, trained, listening, page, folder)
    return found


def _conditions(state: State, wanted: Wanted) -> dict[str, object]:
    """What all records of a folder have in common."""
    import torch

    from spresso_assets.codec.bundle import read_config

    return {
        "seconds": wanted.seconds,
        "seed": wanted.seed,
        "threads": torch.get_num_threads(),
        # The bundle's weights count whether it takes part yet or not: systems may join later.
        "weights": read_config(state.bundle_dir())[1]["weights_sha256"][:12],
    }


def _measured(
    state: State,
    wanted: Wanted,
    trained: list[Entry],
    names: Sequence[str],
    records: Records,
    embedders: list[Embedder],
) -> Comparison:
    from spresso_assets.evaluation.comparison import compare_systems
    from spresso_assets.evaluation.sounds import read_sounds

    unreadable: dict[str, int] = {}

    def unread(name: str, error: SpressoError) -> None:
        unreadable["unreadable"] = unreadable.get("unreadable", 0) + 1
        state.out.failure(str(wanted.folder / name), error)

    with state.out.progress("measuring", "sounds") as progress:
        found = compare_systems(
            trained,
            read_sounds(wanted.folder, names, wanted.seconds, unread),
            records,
            embedders=embedders,
            takes=wanted.takes,
            skip=lambda what, error: state.out.note(f"{what}: left out, {error.message}"),
            progress=lambda done, what: progress.update(done, len(names), format.shorten(what, 40)),
        )
    found.left_out.update(unreadable)
    return found


def _timed(state: State, wanted: Wanted, points: list[Entry], records: Records, found: Comparison) -> Comparison:
    from dataclasses import replace

    from spresso_assets.evaluation.sounds import read_sounds
    from spresso_assets.evaluation.speed import measure_speed

    few = list(read_sounds(wanted.folder, found.sounds[: wanted.timed], wanted.seconds, lambda *_: None))
    with state.out.progress("timing", "passages") as progress:
        speeds = measure_speed(
            points,
            few,
            records,
            skip=lambda what, error: state.out.note(f"{what}: not timed, {error.message}"),
            progress=lambda done, total, what: progress.update(done, total, format.shorten(what, 40)),
        )
    return replace(found, speeds=tuple(speeds))


def _trained(points: list[Entry]) -> list[Entry]:
    """Those that have anything to say about sounds; random weights only take their time."""
    from spresso_assets.evaluation.systems import is_trained

    trained = [point for point in points if is_trained(point.system)]
    if not trained:
        raise SpressoError(
            "no system has a point at so low a rate",
            code="usage",
            hint="Raise --max-kbps, or name a system that is trained.",
            exit_code=ExitCode.USAGE,
        )
    return trained


def _pages(
    state: State,
    wanted: Wanted,
    found: Comparison,
    trained: list[Entry],
    listening: Listening,
    page: Path | None,
    folder: Path,
) -> None:
    from spresso_assets.evaluation.listening import badness, fill
    from spresso_assets.evaluation.mushra import chosen, mushra_page
    from spresso_assets.evaluation.report import report_page
    from spresso_assets.evaluation.sounds import read_sounds
    from spresso_assets.export.files import write_bytes

    worst, rated = list(badness(found))[: wanted.heard], found.sounds[:RATED]
    played = list(dict.fromkeys([*worst, *rated]))
    with state.out.progress("making sounds to listen to", "sounds") as progress:
        done = 0

        def told(what: str) -> None:
            progress.update(done, len(played), format.shorten(what, 40))

        for name in played:
            one = read_sounds(wanted.folder, [name], wanted.seconds, lambda *_: None)
            fill(listening, trained, one, lambda what, error: state.out.note(f"{what}: {error.message}"), told)
            done += 1
    embed = page is not None
    report = page or folder / "report.html"
    test = report.with_name(f"{report.stem}-listening-test.html")
    title = f"Sounds of {wanted.folder.resolve().name}"
    write_bytes(report, report_page(found, listening, report, title=title, embed=embed).encode())
    points = chosen([(row.system, row.point) for row in found.rows])
    write_bytes(test, mushra_page(listening, rated, points, test, title="Listening test", embed=embed).encode())
    state.out.note(f"{report}: the report; open it in a browser")
    state.out.note(f"{test}: a blind listening test")


def _places(out: Path | None) -> tuple[Path | None, Path | None]:
    """(page with everything inside, folder of the rest): REPORT.html keeps its records in REPORT-files."""
    if out is None:
        return None, None
    return (out, out.with_name(f"{out.stem}-files")) if out.suffix.lower() == ".html" else (None, out)


def _systems(state: State, wanted: Wanted) -> tuple[list[System], dict[str, str]]:
    """The systems in the order in which they were named; which weights they have, by name."""
    from spresso_assets.evaluation.nearest_clip import NearestClip
    from spresso_assets.evaluation.sounds import choose, read_sounds
    from spresso_assets.ingest.globs import AUDIO_SUFFIXES
    from spresso_assets.rivals.registry import fingerprint, open_systems, weights_of

    own = {"spresso", NEAREST}
    weights = _named_paths(wanted.weights, "--weights")
    others = [name for name in wanted.systems if name not in own]
    rivals = iter(open_systems(others, weights))
    marks = {name: fingerprint(place) for name in others if (place := weights_of(name, weights)) is not None}
    if NEAREST in wanted.systems and wanted.library is None:
        raise SpressoError(
            f"'{NEAREST}' needs sounds to choose from",
            code="rival_missing",
            hint="Name the sounds that the codec was trained on: --library FOLDER.",
            exit_code=ExitCode.MODEL_MISSING,
        )
    systems: list[System] = []
    for name in wanted.systems:
        if name == "spresso":
            from spresso_assets.rivals.spresso import Spresso

            systems.append(Spresso(state.codec(), list(wanted.profiles), seed=wanted.seed))
        elif name == NEAREST and wanted.library is not None:
            names = choose(wanted.library, AUDIO_SUFFIXES, "train", None)
            state.out.note(f"looking at {len(names)} sounds of {wanted.library}")
            systems.append(NearestClip(read_sounds(wanted.library, names, wanted.seconds, lambda *_: None)))
        else:
            systems.append(next(rivals))
    return systems, marks


def _embedders(named: Sequence[str]) -> list[Embedder]:
    from spresso_assets.evaluation.embedders import open_embedder

    found = []
    for text in named:
        name, _, path = text.partition("=")
        found.append(open_embedder(name, Path(path) if path else None))
    return found


def _named_paths(texts: Sequence[str], option: str) -> dict[str, Path]:
    found = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise SpressoError(
                f"{option} takes NAME=PATH, not '{text}'",
                code="usage",
                hint=f"For example {option} encodec=weights/encodec.",
                exit_code=ExitCode.USAGE,
            )
        found[name] = Path(path)
    return found


def lines_of(found: Comparison) -> list[str]:
    """The comparison as a person reads it."""
    from spresso_assets.evaluation.report import conditions

    headers = ("SYSTEM", "TRUE RATE", "SOUNDS", "MEL", "95 %", "ENVELOPE", "SIMILARITY", "R@1", "ENCODE", "DECODE")
    table = format.columns(headers, [_cells(row) for row in found.rows], right=(1, 2, 3, 4, 5, 6, 7, 8, 9))
    if found.speeds:
        timed = [
            (speed.point, speed.threads, *(f"{s:.3g} x" for s in (speed.encode, speed.decode)))
            for speed in found.speeds
        ]
        table += ["", *format.columns(("TIMED", "THREADS", "ENCODE", "DECODE"), timed, right=(1, 2, 3))]
    return [conditions(found), "", *table]


def _cells(row: Row) -> tuple[object, ...]:
    def figure(e: Estimate | None) -> str:
        return "-" if e is None else f"{e.value:.3f}"

    mel = row.metrics.get("mel_distance")
    like = next(iter(row.likeness.values()), None)
    return (
        row.point if row.point.startswith(row.system) else f"{row.system} {row.point}",
        format.kbps(row.kbps),
        row.sounds,
        figure(mel),
        "-" if mel is None else f"{mel.low:.3f}-{mel.high:.3f}",
        figure(row.metrics.get("envelope_correlation")),
        figure(like.similarity if like else None),
        figure(like.retrieval if like else None),
        *("-" if s is None else f"{s:.1f} x" for s in (row.encode_speed, row.decode_speed)),
    )


def verdict_lines(found: Verdict) -> list[str]:
    """What listeners said."""
    rows = [
        (
            f"{s.system} {s.point}".strip(),
            f"{s.score.value:.1f}",
            f"{s.score.low:.1f}-{s.score.high:.1f}",
            s.score.count,
        )
        for s in found.scores
    ]
    table = format.columns(("SYSTEM", "SCORE", "95 %", "RATINGS"), rows, right=(1, 2, 3))
    left = f"{len(found.excluded)} left out, who did not hear the hidden reference" if found.excluded else "all counted"
    return [f"{found.listeners} listeners, {left}", "", *table]
