"""A real bridge on a real port, for tests here and in tests/hosts.

`tests/plugin_bridge/conftest.py` makes fixtures of it. Tests elsewhere take those over by importing their names into a
conftest of their own (``from tests.plugin_bridge.conftest import bridge_catalog, running_bridge``), or call `running`
for a server with settings of its own.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from plugin_bridge.bridge import Bridge, open_bridge
from plugin_bridge.server import BridgeServer
from plugin_bridge.settings import BridgeSettings
from spresso_assets.audio.broadcast import build_ixml
from spresso_assets.audio.write import write_wav
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.cli.main import main
from spresso_assets.codec.bundle import load_bundle, read_config

RATE = 48_000
PATIENCE_S = 60.0
# name, seconds, channels: what a small library looks like, with names that test whoever shows them
SOUNDS = (
    ("Doors/DOORWood_Wooden door slams_JD_LIB.wav", 0.8, 1),
    ("Doors/DOORMetl_Metal door, rusty_JD_LIB.wav", 0.5, 2),
    ("Doors/DOORCreak_Door creak slow_JD_LIB.wav", 1.4, 1),
    ("Rain/RAINGen_Heavy rain on a tin roof_JD_LIB.wav", 2.0, 2),
    ("Feet/FEETHmn_Footstep gravel 01_JD_LIB.wav", 0.3, 1),
    ("Feet/FEETHmn_Footstep gravel 02_JD_LIB.wav", 0.3, 1),
    ("Feet/FEETHmn_Footstep gravel 03_JD_LIB.wav", 0.3, 1),
    ("Odd/AMBMisc_<b onmouseover=alert(1)>Wind & höhle_JD_LIB.wav", 0.4, 1),
)
CATEGORIES = {"Doors": "DOORS", "Rain": "RAIN"}  # by folder; the others have only the CatID of their names


@dataclass(frozen=True)
class FilledCatalog:
    """A catalog of `SOUNDS`, encoded, with its originals.

    Attributes:
        file: the database.
        folder: the originals.
        bundle: the untrained model that they were encoded with.
        ids: uid by the name of the original, without folder and suffix.
    """

    file: Path
    folder: Path
    bundle: Path
    ids: dict[str, str]

    def id_of(self, word: str) -> str:
        """The one sound with a word in its name."""
        (found,) = (uid for name, uid in self.ids.items() if word in name)
        return found


@dataclass
class Running:
    """A bridge that answers, with a client that knows its token."""

    bridge: Bridge
    client: httpx2.Client
    file: Path
    place_folder: Path

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return self.bridge.url

    @property
    def port(self) -> int:
        return self.bridge.port

    @property
    def token(self) -> str:
        return self.bridge.tokens.token

    @property
    def dav_url(self) -> str:
        """With its token, and a slash at its end."""
        return self.bridge.dav_url

    @property
    def environment(self) -> dict[str, str]:
        """By which a program finds this bridge."""
        return {"SPRESSO_BRIDGE": str(self.file)}


def write_sounds(folder: Path) -> None:
    """Real WAV files of `SOUNDS`: noise bursts, each another one, 24 bits."""
    for number, (name, seconds, channels) in enumerate(SOUNDS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        frames = int(seconds * RATE)
        noise = np.random.default_rng(number).standard_normal((channels, frames))
        samples = (0.1 * noise * np.linspace(1, 0, frames)).astype(np.float32)
        category = CATEGORIES.get(Path(name).parent.name)
        ixml = build_ixml({"USER/CATEGORY": category}) if category else None
        write_wav(folder / name, samples, RATE, "PCM_24", ixml=ixml)


def fill_catalog(folder: Path, bundle: Path) -> FilledCatalog:
    """Make a catalog in a folder, through the commands that people use."""
    originals, file = folder / "sfx", folder / "catalog.db"
    write_sounds(originals)
    options = ["--quiet", "--catalog", str(file), "--bundle", str(bundle)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*options, "init"]) == 0
        assert main([*options, "ingest", "--settle", "0", str(originals)]) == 0
    catalog = open_catalog(file)
    try:
        with catalog.read() as session:
            rows = session.connection().exec_driver_sql(
                "SELECT f.rel_path, a.uid FROM source_file f JOIN asset a ON a.id = f.asset_id"
            )
            ids = {Path(path).stem: uid for path, uid in rows}
    finally:
        catalog.close()
    assert len(ids) == len(SOUNDS)
    return FilledCatalog(file, originals, bundle, ids)


@contextlib.contextmanager
def running(catalog: FilledCatalog, folder: Path, *, model: bool = True, **settings: Any) -> Iterator[Running]:
    """Serve a catalog on a free port until the block ends.

    Args:
        model: False: the bundle is not there.
        folder: for state, cache, discovery file and the folder that sounds may be placed into.
        settings: of `BridgeSettings`, besides those.
    """
    place_folder, file = folder / "placed", folder / "state" / "bridge.json"
    place_folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, Any] = {
        **{"port": 0, "place_folders": [place_folder], "state_dir": folder / "state", "cache_dir": folder / "cache"},
        **settings,
    }
    opened = open_catalog(catalog.file)
    config, facts = read_config(catalog.bundle)
    known = {"weights_sha256": str(facts["weights_sha256"]), "model_name": config.name} if model else {}
    bundle = catalog.bundle if model else folder / "no-bundle"
    bridge = open_bridge(BridgeSettings.model_validate(made), opened, lambda: load_bundle(bundle), **known)
    server = BridgeServer(bridge, file)
    listening, faults = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            server.run(listening.set)
        except BaseException as error:
            faults.append(error)
        finally:
            listening.set()

    thread = threading.Thread(target=run, name="bridge", daemon=True)
    thread.start()
    try:
        assert listening.wait(PATIENCE_S), "the bridge did not start"
        if faults:
            raise faults[0]
        headers = {"Authorization": f"Bearer {bridge.tokens.token}"}
        with httpx2.Client(base_url=bridge.url, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
            yield Running(bridge, client, file, place_folder)
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        opened.close()
    assert not thread.is_alive(), "the bridge did not stop"
