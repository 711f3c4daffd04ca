"""`spresso shelf`: a small window to drag sounds out of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from spresso_assets.cli.state import State, state_of
from spresso_assets.errors import FaultKind, SpressoError


def shelf(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Words to begin with.")] = "",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", metavar="DIR", help="Write dragged files here instead of into the shelf's own folder."
        ),
    ] = None,
) -> None:
    """Show a small window that stays on top: search, hear, and drag sounds as files into any program.

    The window talks to a running bridge ('spresso serve'), and can start one. Dragged files are real and stay where
    they are; many programs copy them into the project, those that do not will look for them there.
    """
    state = state_of(ctx)
    try:
        import PySide6.QtWidgets  # noqa: F401
    except ImportError as error:
        raise SpressoError(
            f"the shelf needs PySide6, and it cannot be loaded ({error})",
            code="shelf_extra_missing",
            hint="Run: pip install 'spresso-assets[shelf]'. On a bare Linux, libegl1 and libxkbcommon0 too.",
            kind=FaultKind.ENVIRONMENT,
        ) from None
    from plugin_bridge.clients.bridge_client import BridgeClient
    from plugin_bridge.paths import state_dir
    from plugin_bridge.place_folders import PlaceFolders
    from plugin_bridge.shelf.window import run

    _refuse_without_display()
    own = state_dir() / "shelf" if folder is None else folder.expanduser().absolute()
    own.mkdir(parents=True, exist_ok=True)
    # Who starts the shelf wants files from it: that is the permission which `spresso bridge allow` gives.
    PlaceFolders([], state_dir()).allow(own)
    label = "the shelf's own folder" if folder is None else ""
    raise typer.Exit(run(BridgeClient(), own.resolve(), _serve_command(state), query, label))


def _serve_command(state: State) -> list[str]:
    """A bridge for the catalog of this command."""
    start = "import sys; from spresso_assets.cli.main import main; sys.exit(main(sys.argv[1:]))"
    settings = state.settings
    bundle = ["--bundle", str(settings.bundle)] if settings.bundle else []
    return [sys.executable, "-c", start, "--catalog", str(settings.catalog), *bundle, "serve"]


def _refuse_without_display() -> None:
    """Qt ends the process without a word to its caller when there is no screen.

    Raises:
        SpressoError: ``no_display``.
    """
    import os

    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise SpressoError(
            "there is no screen to show the shelf on",
            code="no_display",
            hint="Run it in a desktop session; over SSH, the page of 'spresso serve' is the way.",
            kind=FaultKind.ENVIRONMENT,
        )
