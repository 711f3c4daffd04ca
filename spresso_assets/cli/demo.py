"""`spresso demo`: the whole way in a minute, on sounds that it makes itself."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format, pipeline
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from spresso_assets.catalog.engine import Catalog

MARK = ".spresso-demo"
# (recipe, UCS category and name as a librarian would write it, seed)
SOUNDS = (
    ("footsteps_gravel", "FOOTHmn_Footsteps on gravel", 1),
    ("footsteps_wood", "FOOTHmn_Footsteps on a wooden floor", 2),
    ("door", "DOORWood_Wooden door closes", 3),
    ("door_creak", "DOORCreak_Door creaks open", 4),
    ("rain", "RAINGen_Steady rain", 5),
    ("thunder", "WEATThun_Distant thunder", 6),
    ("impact_metal", "METLImpt_Metal plate hit", 7),
    ("glass", "GLASBrk_Glass shatters", 8),
    ("whoosh", "WHSH_Fast whoosh", 9),
    ("laser", "LASRGun_Laser shot", 10),
    ("explosion", "EXPLReal_Explosion", 11),
    ("water_drip", "WATRDrip_Water drips in a cave", 12),
    ("engine", "VEHCar_Engine idles and revs", 13),
)
QUERY = "footsteps -wood"


def demo(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder for the demo's sounds, catalog and results.")] = Path("demo"),
    profile: Annotated[str, typer.Option(help="Encoding profile to show.")] = "2.5kbps",
) -> None:
    """Make a dozen sound effects, ingest them, search, and decode two variations of one. Needs nothing else.

    Everything happens in one folder, which a second run replaces.
    """
    state = state_of(ctx)
    _fresh(folder)
    state.overrides["catalog"] = str(folder / "catalog.db")
    state.out.result(_run(state, folder, profile))


def _run(state: State, folder: Path, profile: str) -> dict[str, Any]:
    from spresso_assets.catalog.search import search

    say = state.out.live

    say(f"1. Make {len(SOUNDS)} sounds in {folder / 'sounds'}")
    sounds = folder / "sounds"
    with state.out.progress("synthesising", "sounds") as progress:
        for number, (kind, name, seed) in enumerate(SOUNDS):
            progress.update(number, len(SOUNDS), kind)
            _synthesise(kind, sounds / f"{name}_DEMO_SPRS.wav", seed)
    say()
    say(f"2. Read and encode them under the profile {profile}   (spresso init; spresso ingest {sounds})")
    catalog = state.catalog(create=True)
    if not state.register_bundle(catalog):
        raise SpressoError(
            "there is no model bundle to encode with",
            code="model_missing",
            hint="Install the package again, or name a bundle with --bundle.",
            exit_code=ExitCode.MODEL_MISSING,
        )
    summary = _ingest(state, catalog, sounds, profile)
    for line in pipeline.lines_of(summary):
        say(f"   {line}")
    say()
    say("3. The catalog   (spresso search; spresso stats)")
    rows, table = _table(catalog)
    for line in table:
        say(f"   {line}")
    say()
    say(f"4. Search for   {QUERY}   (spresso search '{QUERY}')")
    with catalog.read() as session:
        hits = search(session, QUERY)
    for hit in hits:
        say(f"   {hit.uid[:8]}  {hit.name}")
    if not hits:
        raise SpressoError("the demo's search found nothing", code="demo_failed", hint="Please report this.")
    say()
    say(f"5. Decode two variations of it   (spresso decode {hits[0].uid[:8]} --variations 2)")
    decoded = _variations(state, catalog, hits[0].uid, folder / "decoded")
    for item in decoded:
        say(f"   {item['path']}: {item['summary']}")
    say(f"   Compare them with the original: {hits[0].full_path}")
    say()
    say("Next, with your own folder (it is only read, never changed):")
    # Whoever came here by `make demo` has the program in a virtual environment that is not on the path.
    command = _command()
    say(f"   {command} init")
    say(f"   {command} ingest ~/SFX/Doors --limit 20")
    say(f"   {command} search door slam -wood")
    say(f"   {command} decode ID --variations 3")
    return {
        "folder": str(folder),
        "sounds": rows,
        "run": summary.as_dict(),
        "query": QUERY,
        "found": [hit.uid for hit in hits],
        "decoded": decoded,
    }


def _fresh(folder: Path) -> None:
    """An empty folder, made anew if it is a former demo's; anybody else's folder is refused."""
    if folder.exists():
        if not (folder / MARK).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise SpressoError(
                f"{folder} exists and is no demo folder",
                code="target_exists",
                hint="Name another one: spresso demo FOLDER.",
            )
        shutil.rmtree(folder)
    (folder / "sounds").mkdir(parents=True)
    (folder / MARK).write_text("Made by 'spresso demo', which replaces this folder when it runs again.\n")


def _synthesise(kind: str, target: Path, seed: int) -> None:
    from spresso_assets.audio.procedural import KINDS, synthesise
    from spresso_assets.audio.write import write_wav

    about = {"description": KINDS[kind].description, "originator": "spresso demo"}
    write_wav(target, synthesise(kind, seed), 48_000, bext=about)


def _ingest(state: State, catalog: Catalog, sounds: Path, profile: str) -> Any:
    from spresso_assets.ingest.reconcile import reconcile
    from spresso_assets.ingest.roots import root_for
    from spresso_assets.jobs.plan import enqueue_probe

    with catalog.session() as session:
        root, _ = root_for(session, sounds)
        root_id = root.id or 0
    # Settle time 0: we have just written these files ourselves.
    reconcile(catalog, root_id, lambda session, file: enqueue_probe(session, file, profile=profile), settle_s=0.0)
    with pipeline.make_context(state) as context:
        summary = pipeline.run_jobs(state, catalog, context)
    if summary.blocked is not None:
        raise summary.blocked
    return summary


def _table(catalog: Catalog) -> tuple[list[dict[str, Any]], list[str]]:
    from sqlmodel import col, select

    from spresso_assets.catalog.models import Asset, Rendition, SourceFile
    from spresso_assets.catalog.stats import collect

    with catalog.read() as session:
        found = session.exec(
            select(Asset, SourceFile.size, Rendition.payload_bytes, Rendition.actual_kbps)
            .join(SourceFile, col(SourceFile.asset_id) == col(Asset.id))
            .join(Rendition, col(Rendition.asset_id) == col(Asset.id))
            .order_by(col(Asset.id))
        ).all()
        stats = collect(session)
    records: list[dict[str, Any]] = [
        {"uid": a.uid, "name": a.fx_name or "", "seconds": a.duration, "file_bytes": size, "bytes": n, "kbps": kbps}
        for a, size, n, kbps in found
    ]
    rows = [_row(record) for record in records]
    lines = format.columns(
        ("ID", "NAME", "LENGTH", "FILE", "LATENT", "RATIO", "TRUE RATE"), rows, right=(2, 3, 4, 5, 6)
    )
    ratio = stats.source_bytes / max(stats.payload_bytes, 1)
    sizes = f"{format.size(stats.source_bytes)} -> {format.size(stats.payload_bytes)}, 1:{ratio:.0f}"
    return records, [*lines, f"together {sizes}, container included"]


def _row(record: dict[str, Any]) -> list[str]:
    before, after = record["file_bytes"], record["bytes"]
    sizes = [format.size(before), f"{after} B", f"1:{before / after:.0f}", format.kbps(record["kbps"])]
    return [record["uid"][:8], record["name"], format.length(record["seconds"]), *sizes]


def _variations(state: State, catalog: Catalog, uid: str, folder: Path) -> list[dict[str, Any]]:
    from spresso_assets.export.decode import decode_asset, write_decoded
    from spresso_assets.export.files import make_folder
    from spresso_assets.export.naming import safe

    make_folder(folder)
    codec = state.codec()
    made = []
    for variation in range(2):
        decoded = decode_asset(catalog, codec, uid, variation=variation)
        target = folder / f"{safe(decoded.name)}_spr_{decoded.seed}.wav"
        write_decoded(decoded, target)
        made.append({**decoded.record(), "path": str(target), "summary": decoded.summary()})
    return made


def _command() -> str:
    program = Path(sys.argv[0])
    if program.name != "spresso" or shutil.which("spresso") == str(program.resolve()):
        return "spresso"
    with contextlib.suppress(ValueError):
        return str(program.resolve().relative_to(Path.cwd()))
    return str(program)
