"""`spresso serve`: the bridge, in the foreground."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spresso_assets.cli.output import Mode
from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from plugin_bridge.bridge import Bridge
    from plugin_bridge.settings import BridgeSettings


def serve(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any that is free.")] = 8470,
    allow: Annotated[
        list[Path] | None,
        typer.Option("--allow", metavar="DIR", help="Let clients place sounds into this folder; may be repeated."),
    ] = None,
    decode: Annotated[str, typer.Option(help="local: in this process; workers: by 'spresso worker'.")] = "local",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the web browser.")] = False,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for decoded sounds; it may be deleted at any time.")
    ] = None,
    cache_gb: Annotated[float, typer.Option(min=0, help="Most that this folder may hold, in GB.")] = 4.0,
    ram_mb: Annotated[int, typer.Option(min=0, help="Decoded sound kept in memory, in MB.")] = 256,
    new_dav_token: Annotated[
        bool, typer.Option("--new-dav-token", help="Give the WebDAV folder another address; mounts must be renewed.")
    ] = False,
) -> None:
    """Serve the catalog to audio tools and a web page on this machine, until Ctrl-C.

    Programs of this user find the server by a file that only this user can read. Nothing outside of this machine can
    reach it. The address that is printed opens the page once; 'spresso bridge open' makes another.
    """
    state = state_of(ctx)
    if decode not in ("local", "workers"):
        raise SpressoError(
            f"sounds are decoded 'local' or by 'workers', not '{decode}'",
            code="usage",
            hint="See: spresso serve --help.",
            exit_code=ExitCode.USAGE,
        )
    from plugin_bridge.discovery import discovery_file, refuse_second
    from plugin_bridge.paths import state_dir
    from plugin_bridge.place_folders import PlaceFolders

    refuse_second(discovery_file())  # before seconds are spent on what is not wanted
    state.catalog()
    from plugin_bridge.server import serve as run
    from plugin_bridge.settings import BridgeSettings

    known = PlaceFolders([], state_dir())
    folders = [known.check(folder) for folder in allow or []]

    more = {} if cache is None else {"cache_dir": cache.expanduser().absolute()}
    settings = BridgeSettings.model_validate(
        {
            **{"port": port, "place_folders": folders, "decode": decode, **more},
            **{"disk_bytes": int(cache_gb * 1e9), "ram_bytes": ram_mb * 1_000_000},
        }
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s")
    bridge = _bridge(state, settings, new_dav_token)

    def listening() -> None:
        page = f"{bridge.url}/?code={bridge.tokens.new_code()}"
        if state.out.mode is Mode.TEXT:
            state.out.note(f"page: {page}")
            state.out.note("serves until Ctrl-C; the address opens the page once, within five minutes")
        else:
            state.out.document({"event": "listening", "port": bridge.port, "page": page})
            sys.stdout.flush()
        if open_page:
            import webbrowser

            webbrowser.open(page)

    run(bridge, listening)
    state.out.note("stopped")


def _bridge(state: State, settings: BridgeSettings, new_dav_token: bool) -> Bridge:
    from plugin_bridge.bridge import open_bridge
    from spresso_assets.codec.bundle import read_config

    catalog = state.catalog()
    name = weights = ""
    try:
        config, facts = read_config(state.bundle_dir())
        name, weights = config.name, str(facts["weights_sha256"])
    except SpressoError as error:
        if error.code != "model_missing":
            raise
        if settings.decode == "local":
            state.out.warn(f"{error.message}: sounds can be searched, not heard. {error.hint}")

    def wake() -> None:
        from spresso_assets.cli.pipeline import leave_to_workers

        leave_to_workers(state, catalog)

    return open_bridge(
        settings,
        catalog,
        state.codec,
        weights_sha256=weights,
        model_name=name,
        wake_workers=wake,
        new_dav_token=new_dav_token,
    )
