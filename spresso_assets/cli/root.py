"""`spresso root ...`: the folders whose sounds belong to the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Folders whose sounds belong to the catalog.")

Name = Annotated[str, typer.Argument(metavar="ROOT", help="Name or folder of the root.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")]
Mode = Annotated[
    str | None,
    typer.Option(help="How changes are noticed: auto, native (file events), poll (regular scans), scan (on request)."),
]
Settle = Annotated[float | None, typer.Option(min=0, help="Seconds a file must stay unchanged before it is read.")]
Poll = Annotated[float | None, typer.Option(min=1, help="Seconds between scans where file events do not work.")]
Include = Annotated[list[str] | None, typer.Option(help="Take only names that match, for example '*.wav'. Repeatable.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Leave out names that match, for example 'RAW/'. Repeatable.")]
Profile = Annotated[str | None, typer.Option(help="Encoding profile for new sounds of this root.")]
TagsFromDirs = Annotated[
    bool | None, typer.Option("--tags-from-dirs/--no-tags-from-dirs", help="Folders below the root become tags.")
]
RemovalCap = Annotated[
    float | None, typer.Option(min=0, max=100, help="Percent of files that may vanish before a scan asks.")
]


def _given(**options: Any) -> dict[str, Any]:
    settings = {name: value for name, value in options.items() if value is not None}
    if "removal_cap" in settings:
        settings["removal_cap"] /= 100
    return settings


@app.command()
def add(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="Folder with sounds.")],
    name: Annotated[str | None, typer.Option(help="What to call it; the folder's name by default.")] = None,
    mode: Mode = None,
    settle: Settle = None,
    poll: Poll = None,
    include: Include = None,
    exclude: Exclude = None,
    profile: Profile = None,
    tags_from_dirs: TagsFromDirs = None,
    removal_cap: RemovalCap = None,
    dry_run: DryRun = False,
) -> None:
    """Add a folder. Its files are only read."""
    state = state_of(ctx)
    from spresso_assets.ingest.roots import RootSummary, add_root

    settings = _given(
        mode=mode,
        settle_s=state.settings.settle_s if settle is None else settle,
        poll_s=poll,
        include=include or None,
        exclude=exclude or None,
        default_profile=profile,
        tags_from_dirs=tags_from_dirs,
        removal_cap=removal_cap,
    )
    with state.change(dry_run) as session:
        root = add_root(session, path, name=name, **settings)
        record = RootSummary(root, {}).record()
    state.out.result(
        {**record, "dry_run": dry_run},
        lambda: [
            f"{'would add' if dry_run else 'added'} root '{root.name}': {root.path}, noticed by {root.backend}",
            f"next: spresso scan {root.name}",
        ],
    )


@app.command("list")
def list_(ctx: typer.Context) -> None:
    """List the roots with their state and file counts."""
    state = state_of(ctx)
    from spresso_assets.ingest.roots import list_roots

    with state.catalog().read() as session:
        records = [summary.record() for summary in list_roots(session)]

    def text() -> list[str]:
        if not records:
            return ["no roots yet; add one: spresso root add FOLDER"]
        rows = [
            (r["name"], r["state"], r["backend"] or "-", _counts(r["files"]), r["last_scan_at"] or "never", r["path"])
            for r in records
        ]
        return format.columns(("ROOT", "STATE", "BACKEND", "FILES", "LAST SCAN", "FOLDER"), rows)

    state.out.result(records, text)


@app.command()
def show(ctx: typer.Context, root: Name) -> None:
    """Show all settings of a root."""
    state = state_of(ctx)
    from spresso_assets.ingest.roots import find_root, list_roots

    with state.catalog().read() as session:
        wanted = find_root(session, root).name
        record = next(summary.record() for summary in list_roots(session) if summary.root.name == wanted)

    def text() -> list[str]:
        width = max(map(len, record))
        shown = {**record, "files": _counts(record["files"])}
        return [f"{key.ljust(width)}  {format.printable(_plain(value))}" for key, value in shown.items()]

    state.out.result(record, text)


@app.command("set")
def set_(
    ctx: typer.Context,
    root: Name,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    mode: Mode = None,
    settle: Settle = None,
    poll: Poll = None,
    include: Include = None,
    exclude: Exclude = None,
    profile: Profile = None,
    tags_from_dirs: TagsFromDirs = None,
    removal_cap: RemovalCap = None,
    dry_run: DryRun = False,
) -> None:
    """Change settings of a root. A list of patterns replaces the old list."""
    state = state_of(ctx)
    from spresso_assets.ingest.roots import RootSummary, change_root, find_root

    settings = _given(
        name=name,
        mode=mode,
        settle_s=settle,
        poll_s=poll,
        include=include or None,
        exclude=exclude or None,
        default_profile=profile,
        tags_from_dirs=tags_from_dirs,
        removal_cap=removal_cap,
    )
    with state.change(dry_run) as session:
        row = find_root(session, root)
        before = row.model_dump()
        change_root(session, row, **settings)
        session.add(row)
        changed = {key: [before[key], value] for key, value in row.model_dump().items() if before[key] != value}
        record = {**RootSummary(row, {}).record(), "changed": changed, "dry_run": dry_run}
    state.out.result(
        record,
        lambda: (
            [f"{key}: {_plain(old)} -> {_plain(new)}" for key, (old, new) in changed.items()] or ["nothing to change"]
        ),
    )


@app.command()
def remove(
    ctx: typer.Context,
    root: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Forget a root. Its files stay where they are, and its sounds stay in the catalog."""
    state = state_of(ctx)
    from spresso_assets.ingest.roots import find_root, list_roots, remove_root

    with state.catalog().read() as session:
        name = find_root(session, root).name
        files = next(s.files for s in list_roots(session) if s.root.name == name)
    total = sum(files.values())
    if not dry_run:
        confirm(f"Forget root '{name}' and where its {total} files lie?", yes=yes)
    with state.change(dry_run) as session:
        remove_root(session, find_root(session, root))
    state.out.result(
        {"root": name, "files": total, "dry_run": dry_run},
        lambda: [
            f"{'would forget' if dry_run else 'forgot'} root '{name}' ({total} files); its sounds stay in the catalog"
        ],
    )


@app.command()
def pause(ctx: typer.Context, root: Name, dry_run: DryRun = False) -> None:
    """Stop watching and scanning a root until it is resumed."""
    _set_state(ctx, root, "paused", dry_run)


@app.command()
def resume(ctx: typer.Context, root: Name, dry_run: DryRun = False) -> None:
    """Watch and scan a paused root again."""
    _set_state(ctx, root, "active", dry_run)


@app.command()
def test(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file in a root.")],
) -> None:
    """Say whether a scan would take a file, and why."""
    state = state_of(ctx)
    from spresso_assets.errors import SpressoError
    from spresso_assets.ingest.roots import judge_path, root_of_path

    with state.catalog().read() as session:
        found = root_of_path(session, path)
        if found is None:
            raise SpressoError(
                f"{path} is in no root",
                code="outside_root",
                hint="See 'spresso root list'.",
                exit_code=ExitCode.NOT_FOUND,
            )
        root, rel_path = found
        verdict = judge_path(root, path)
    record = {"root": root.name, "path": rel_path, "included": verdict.included, "reason": verdict.reason}
    state.out.result(
        record, lambda: [f"{format.printable(rel_path)}: {'in' if verdict.included else 'out'}, {verdict.reason}"]
    )


def _set_state(ctx: typer.Context, name: str, wanted: str, dry_run: bool) -> None:
    state = state_of(ctx)
    from spresso_assets.ingest.roots import find_root

    with state.change(dry_run) as session:
        root = find_root(session, name)
        before, root.state = root.state, wanted
        session.add(root)
    state.out.result(
        {"root": root.name, "before": before, "state": wanted, "dry_run": dry_run},
        lambda: [f"root '{root.name}': {before} -> {wanted}" + (" (not done: dry run)" if dry_run else "")],
    )


def _counts(files: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(files.items())) or "none yet"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
