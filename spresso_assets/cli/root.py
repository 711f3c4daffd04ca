"""`spresso root ...`: the folders whose sounds belong to the catalog."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.output import confirm
from spresso_assets.cli.state import state_of
from spresso_assets.cli.times import minutes_or

if TYPE_CHECKING:
    from spresso_assets.catalog.models import WatchRoot

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
AbortCap = Annotated[
    float | None, typer.Option(min=0, max=100, help="Percent of files that may vanish before a scan gives up.")
]


def _given(**options: Any) -> dict[str, Any]:
    settings = {name: value for name, value in options.items() if value is not None}
    for cap in {"removal_cap", "abort_cap"} & set(settings):
        settings[cap] /= 100
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
    abort_cap: AbortCap = None,
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
        abort_cap=abort_cap,
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
            (r["name"], _state(r), _backends(r), _counts(r["files"]), r["last_scan_at"] or "never",
             r["last_event_at"] or "-", r["path"])
            for r in records
        ]  # fmt: skip
        return format.columns(("ROOT", "STATE", "BACKEND", "FILES", "LAST SCAN", "LAST EVENT", "FOLDER"), rows)

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
        parts = [f"{part['path']}: {part['file_system']}, {part['backend']}" for part in record["mounts"]]
        shown = {**record, "state": _state(record), "files": _counts(record["files"]), "mounts": parts}
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
    abort_cap: AbortCap = None,
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
        abort_cap=abort_cap,
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
def pause(
    ctx: typer.Context,
    root: Name,
    reason: Annotated[str, typer.Option(help="Why, for the others.")] = "",
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Resume after 90s, 30m, 12h or 7d; a number is minutes.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Stop watching and scanning a root, until it is resumed or the time is over."""
    from spresso_assets.ingest.roots import pause_root

    for_s = None if for_ is None else minutes_or(for_)
    _change_state(ctx, root, lambda row: pause_root(row, getpass.getuser(), reason, for_s), dry_run)


@app.command()
def resume(ctx: typer.Context, root: Name, dry_run: DryRun = False) -> None:
    """Watch and scan a paused root again."""
    from spresso_assets.ingest.roots import resume_root

    _change_state(ctx, root, resume_root, dry_run)


@app.command()
def test(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A file in a root.")],
) -> None:
    """Say whether a scan would take a file, why, and what would happen to it."""
    state = state_of(ctx)
    from spresso_assets.ingest.forecast import forecast

    with state.catalog().read() as session:
        found = forecast(session, path)
    record = found.record()

    def text() -> list[str]:
        head = f"{format.printable(found.path)}: {'in' if found.included else 'out'}, {found.reason}"
        rows = [(key, format.printable(_plain(value))) for key, value in record.items() if key not in _IN_HEAD]
        width = max((len(key) for key, _ in rows), default=0)
        return [head, *(f"  {key.ljust(width)}  {value}" for key, value in rows if value != "-")]

    state.out.result(record, text)


_IN_HEAD = ("path", "included", "reason")


def _change_state(ctx: typer.Context, name: str, change: Callable[[WatchRoot], None], dry_run: bool) -> None:
    state = state_of(ctx)
    from spresso_assets.ingest.roots import RootSummary, find_root

    with state.change(dry_run) as session:
        root = find_root(session, name)
        before = root.state
        change(root)
        session.add(root)
        record = RootSummary(root, {}).record()
    state.out.result(
        {"root": root.name, "before": before, "state": root.state, "until": record["pause_expires_at"]}
        | {"reason": root.pause_reason, "dry_run": dry_run},
        lambda: [f"root '{root.name}': {before} -> {_state(record)}" + (" (not done: dry run)" if dry_run else "")],
    )


def _state(record: dict[str, Any]) -> str:
    """The state of a root, and of a pause who, why and until when."""
    if record["state"] != "paused":
        return str(record["state"])
    by = f" by {record['paused_by']}" if record["paused_by"] else ""
    until = f" until {record['pause_expires_at']}" if record["pause_expires_at"] else ""
    why = f": {record['pause_reason']}" if record["pause_reason"] else ""
    return f"paused{by}{until}{why}"


def _backends(record: dict[str, Any]) -> str:
    """How changes are noticed, and where below the root in another way."""
    parts = sorted({part["backend"] for part in record["mounts"]} - {record["backend"]})
    return "+".join([record["backend"] or "-", *parts])


def _counts(files: dict[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(files.items())) or "none yet"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)
