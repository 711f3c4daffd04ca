"""One running bridge: what its endpoints share, and how it is put together.

Endpoints get a `Bridge` and nothing else. A folder that is allowed while the server runs counts at once: ask
`Bridge.place_folders`, not the settings.
"""

import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugin_bridge.paths import write_private
from plugin_bridge.settings import BridgeSettings
from spresso_assets.catalog.engine import Catalog
from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from plugin_bridge.events import Events
    from plugin_bridge.exports import Exports
    from plugin_bridge.render.renderer import Renderer
    from plugin_bridge.slots import Slots

TOKEN_BYTES = 32
CODE_SECONDS = 300.0
MAX_CODES = 16
ALLOWED_FILE = "place-folders.json"
DAV_TOKEN_FILE = "dav-token"


class Tokens:
    """Who may ask: a token for everything, another one for the read-only folder, and codes that buy a token once."""

    def __init__(self, token: str = "", dav_token: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = token or secrets.token_urlsafe(TOKEN_BYTES)
        self.dav_token = dav_token or secrets.token_urlsafe(TOKEN_BYTES)
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._lock = threading.Lock()

    def admits(self, given: str) -> bool:
        """Whether this is the token; takes the same time whatever was given."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def admits_dav(self, given: str) -> bool:
        """Whether this is the token of the read-only folder."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.dav_token.encode())

    def new_code(self) -> str:
        """A code that `redeem` takes once, within five minutes."""
        code, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        with self._lock:
            self._codes = {known: end for known, end in self._codes.items() if end > now}
            while len(self._codes) >= MAX_CODES:
                self._codes.pop(next(iter(self._codes)))
            self._codes[code] = now + CODE_SECONDS
        return code

    def redeem(self, given: str) -> str:
        """The token for a code, which is used up by that.

        Raises:
            SpressoError: ``bad_code``.
        """
        with self._lock:
            for code, end in list(self._codes.items()):
                if hmac.compare_digest(given.encode("utf-8", "replace"), code.encode()):
                    del self._codes[code]
                    if end > self._clock():
                        return self.token
        raise SpressoError(
            "this code was used already, or is older than five minutes",
            code="bad_code",
            hint="Open the page anew: spresso bridge open.",
        )

    def scrub(self, text: str) -> str:
        """The same text without secrets, for logs."""
        for secret in (self.token, self.dav_token, *list(self._codes)):
            text = text.replace(secret, "***")
        return text


class PlaceFolders:
    """Folders that sounds may be placed into: of the command line, and those that `spresso bridge allow` keeps."""

    def __init__(self, given: list[Path], file: Path) -> None:
        self._given = given
        self._file = file

    def all(self) -> list[Path]:
        """All of them, absolute, without symbolic links; whether they exist is for the user of the list."""
        return list(dict.fromkeys(folder.expanduser().resolve() for folder in (*self._given, *self._kept())))

    def allow(self, folder: Path) -> bool:
        """Keep a folder; returns False if it was kept already.

        Raises:
            SpressoError: ``bad_place_folder`` if it is no folder, or is the whole disk or home; ``state_not_writable``.
        """
        folder = folder.expanduser().resolve()
        if not folder.is_dir():
            raise _bad_place_folder(f"there is no folder {folder}", "Make it first.")
        if folder in (Path(folder.anchor), Path.home().resolve()):
            raise _bad_place_folder(f"{folder} holds too much to be written into", "Name a folder for sounds in it.")
        kept = self._kept()
        if folder in kept:
            return False
        write_private(self._file, json.dumps({"folders": [str(item) for item in [*kept, folder]]}, indent=2) + "\n")
        return True

    def _kept(self) -> list[Path]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))["folders"]
            return [Path(item) for item in found if isinstance(item, str)]
        except (OSError, ValueError, KeyError, TypeError):
            return []  # what cannot be read allows nothing


def _bad_place_folder(message: str, hint: str) -> SpressoError:
    return SpressoError(message, code="bad_place_folder", hint=hint, exit_code=ExitCode.USAGE)


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
        self._folders = PlaceFolders(self.settings.place_folders, self.settings.state_dir / ALLOWED_FILE)

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
        for part in (self.exports, self.renderer):
            if part is not None:
                await part.close()


def kept_dav_token(state: Path, *, anew: bool = False) -> str:
    """The token of the read-only folder, the same at every start, so that a mount outlives the server.

    Args:
        state: folder of the state.
        anew: make another one; whoever has mounted the folder must mount it again.

    Raises:
        SpressoError: ``state_not_writable``.
    """
    file = state / DAV_TOKEN_FILE
    if not anew:
        try:
            if len(token := file.read_text(encoding="ascii").strip()) >= TOKEN_BYTES:
                return token
        except (OSError, UnicodeDecodeError):
            pass
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_private(file, token + "\n")
    return token


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

    def made(module: str, name: str, *args: Any, **options: Any) -> Any:
        """For the time until every room is there."""
        import importlib
        import logging

        try:
            return getattr(importlib.import_module(module), name)(*args, **options)
        except Exception as error:
            logging.getLogger("spresso.bridge").warning("%s is not there yet: %r", module, error)
            return None

    tokens = Tokens(dav_token=kept_dav_token(settings.state_dir, anew=new_dav_token))
    renderer = made(
        "plugin_bridge.render.renderer", "Renderer", settings, catalog, load_codec, wake_workers=wake_workers
    )
    events = made("plugin_bridge.events", "Events", catalog)
    return Bridge(
        settings,
        catalog,
        tokens,
        renderer,
        events,
        made("plugin_bridge.slots", "Slots", settings.state_dir / "slots.json"),
        made("plugin_bridge.exports", "Exports", settings, catalog, renderer, events),
        weights_sha256=weights_sha256,
        model_name=model_name,
    )
