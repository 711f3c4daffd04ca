"""One running bridge: what its endpoints share, and how it is put together.

Endpoints get a `Bridge` and nothing else. A folder that is allowed while the server runs counts at once: ask
`Bridge.place_folders`, not the settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugin_bridge.place_folders import PlaceFolders
from plugin_bridge.settings import BridgeSettings
from plugin_bridge.tokens import Tokens, kept_dav_token
from spresso_assets.catalog.engine import Catalog

if TYPE_CHECKING:
    from plugin_bridge.events import Events
    from plugin_bridge.exports import Exports
    from plugin_bridge.render.renderer import Renderer
    from plugin_bridge.slots import Slots


@dataclass
class Bridge:
    """Everything that an endpoint needs.

    Attributes:
        port: that the server listens on; known once it does.
        model_name: of the bundle that decodes, '' without one.
    """

    settings: BridgeSettings
    catalog: Catalog
    tokens: Tokens
    renderer: "Renderer"
    events: "Events"
    slots: "Slots"
    exports: "Exports"
    port: int = 0
    weights_sha256: str = ""
    model_name: str = ""

    def __post_init__(self) -> None:
        self.port = self.port or self.settings.port
        self._folders = PlaceFolders(self.settings.place_folders, self.settings.state_dir)

    @property
    def url(self) -> str:
        """Address of the server, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dav_url(self) -> str:
        """Address of the read-only folder, with its token: for those who hold the other one."""
        return f"{self.url}/dav/{self.tokens.dav_token}/"

    def place_folders(self) -> list[Path]:
        """Folders that sounds may be placed into, as of now."""
        return self._folders.all()

    async def hang_up(self) -> None:
        """End answers that have no end by themselves; the server is about to stop."""
        self.events.close()

    async def close(self) -> None:
        """End what the bridge started; nobody asks it any more."""
        await self.exports.close()
        await self.renderer.close()


def open_bridge(
    settings: BridgeSettings,
    catalog: Catalog,
    load_codec: Callable[[], Any],
    *,
    weights_sha256: str = "",
    model_name: str = "",
    wake_workers: Callable[[], Any] = lambda: None,
    new_dav_token: bool = False,
) -> Bridge:
    """Put a bridge together.

    Args:
        settings: its limits and folders.
        catalog: open; whoever opened it closes it, after the bridge.
        load_codec: loads the model; called at most once, when the first sound is decoded.
        weights_sha256: identity of the model that `load_codec` loads, '' where there is none.
        model_name: its name.
        wake_workers: tells workers that a decode waits for them.
        new_dav_token: forget the former token of the read-only folder.
    """

    from plugin_bridge.events import Events
    from plugin_bridge.exports import Exports
    from plugin_bridge.render.renderer import Renderer
    from plugin_bridge.slots import Slots

    tokens = Tokens(dav_token=kept_dav_token(settings.state_dir, anew=new_dav_token))
    renderer = Renderer(settings, catalog, load_codec, weights_sha256=weights_sha256, wake_workers=wake_workers)
    events = Events(catalog)
    return Bridge(
        settings,
        catalog,
        tokens,
        renderer,
        events,
        Slots(settings.state_dir / "slots.json"),
        Exports(settings, catalog, renderer, events),
        weights_sha256=weights_sha256,
        model_name=model_name,
    )
