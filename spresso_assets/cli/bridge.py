"""`spresso bridge`: everything around a running bridge. Where clients go, and the format of their ``install.json``,
is told in `plugin_bridge.installing`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spresso_assets.cli import format
from spresso_assets.cli.state import state_of
from spresso_assets.errors import ExitCode, SpressoError

app = typer.Typer(help="See to a running bridge: its state, its page, folders it may write to, clients.")


@app.command()
def status(
    ctx: typer.Context,
    dav: Annotated[
        bool, typer.Option("--dav", help="Show the address of the WebDAV folder, which holds a key.")
    ] = False,
) -> None:
    """Show the bridge that runs for this user, and what it is doing. Exit code 4 if there is none."""
    state = state_of(ctx)
    from plugin_bridge.asking import ask
    from plugin_bridge.discovery import discovery_file, running

    file = discovery_file()
    known = running(file)
    info: dict[str, Any] = ask(known, "GET", "/v1/info")
    told = {
        "url": known.url,
        "pid": known.pid,
        "file": str(file),
        **{name: info[name] for name in ("version", "model", "sounds", "decode", "place_folders", "capabilities")},
        **({"dav_url": info["dav_url"]} if dav else {}),
    }

    def text() -> list[str]:
        decode = info["decode"]
        lines = [
            f"bridge    {known.url} (process {known.pid}, version {info['version']})",
            f"catalog   {info['sounds']} sounds; model {info['model']['name'] or 'none'}",
            f"decodes   {decode['mode']}: {decode['running']} running, {decode['queued']} waiting",
            f"folders   {', '.join(format.printable(name) for name in info['place_folders']) or 'none allowed'}",
            f"clients   find it by {format.printable(str(file))}",
        ]
        return [*lines, f"webdav    {info['dav_url']}"] if dav else lines

    state.out.result(told, text)


@app.command("open")
def open_page(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--print", help="Print the address, open no browser.")] = False,
) -> None:
    """Open the page of the running bridge in the web browser. The address works once, within five minutes."""
    state = state_of(ctx)
    from plugin_bridge.asking import ask
    from plugin_bridge.discovery import discovery_file, running

    url: str = ask(running(discovery_file()), "POST", "/v1/session/code")["url"]
    opened = False
    if not show:
        import webbrowser

        opened = webbrowser.open(url)
        if not opened:
            state.out.warn("no web browser was found; open the address by hand")
    state.out.result({"url": url, "opened": opened}, lambda: [] if opened else [url])


@app.command()
def allow(
    ctx: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="A folder for sounds.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Allow it no longer; what is in it stays.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
) -> None:
    """Let clients of the bridge write sounds into a folder and those below it; without DIR, list those allowed.

    Kept for all times that the bridge is started, and valid at once for one that runs.
    """
    state = state_of(ctx)
    from plugin_bridge.paths import state_dir
    from plugin_bridge.place_folders import PlaceFolders

    folders = PlaceFolders([], state_dir())
    if folder is None:
        if remove:
            raise SpressoError("no folder was named", code="usage", hint="See --help.", exit_code=ExitCode.USAGE)
        kept = [str(item) for item in folders.all()]
        state.out.result(kept, lambda: [format.printable(item) for item in kept])
        return
    place = folder.expanduser().resolve()
    there = place in folders.all()
    if not remove:
        folders.check(folder)
    if not dry_run and there == remove:
        _ = folders.forget(folder) if remove else folders.allow(folder)
    changed = there == remove
    would = "would be " if dry_run and changed else ""
    what = (
        ("no longer allowed" if remove else "allowed") if changed else ("not allowed" if remove else "allowed already")
    )
    state.out.result(
        {"folder": str(place), "allowed": not remove, "changed": changed, "dry_run": dry_run},
        lambda: [f"{would}{what}: {format.printable(str(place))}"],
    )


@app.command()
def install(
    ctx: typer.Context,
    client: Annotated[
        str | None, typer.Argument(metavar="[CLIENT]", help="For instance reaper; none lists all.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to; by default where the program looks.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be copied.")] = False,
) -> None:
    """Copy a client's files to where its program looks for them; again after an update of spresso."""
    state = state_of(ctx)
    from plugin_bridge import installing

    if client is None:
        known = [installing.record(found) for found in installing.clients()]
        rows = [(item["client"], item["title"]) for item in known]
        state.out.result(known, lambda: format.columns(("CLIENT", "FOR"), rows))
        return
    found = installing.client_named(client)
    target = installing.target_of(found, folder, sys.platform)
    files = installing.install(found, target, dry_run=dry_run)
    data = {
        **installing.record(found),
        "target": str(target),
        "files": [{"path": str(file.path), "what": file.what} for file in files],
        "dry_run": dry_run,
    }

    def text() -> list[str]:
        lines = [f"{file.what.ljust(8)} {format.printable(str(file.path))}" for file in files]
        if dry_run:
            state.out.note("nothing was changed")
        elif found.manifest.next:
            state.out.note(f"next: {found.manifest.next}")
        return lines

    state.out.result(data, text)
