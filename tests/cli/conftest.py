"""Runs the command line in this process, over a private catalog, the untrained bundle and a folder of small sounds."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spresso_assets.audio.write import write_wav
from spresso_assets.cli.main import main


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one document that `--json` prints."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    @property
    def data(self) -> Any:
        """The data of a `--json` envelope."""
        return self.json["data"]


class Spresso:
    """`spresso("search", "door")` runs a command."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str | Path) -> Result:
        self._capsys.readouterr()
        code = main([str(arg) for arg in args])
        captured = self._capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def ok(self, *args: str | Path) -> Result:
        """Run a command that has to succeed."""
        result = self(*args)
        assert result.code == 0, result.err
        return result


@pytest.fixture
def spresso(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Path
) -> Spresso:
    monkeypatch.setenv("SPRESSO_CATALOG", str(tmp_path / "catalog.db"))
    monkeypatch.setenv("SPRESSO_BUNDLE", str(tiny_bundle))
    monkeypatch.setenv("SPRESSO_SETTLE_S", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SPRESSO_BROKER_URL", raising=False)
    monkeypatch.delenv("SPRESSO_CONFIG", raising=False)
    return Spresso(capsys)


def make_sounds(folder: Path, names: Sequence[str], seconds: float = 0.3, rate: int = 16_000) -> None:
    """Write short, all different WAV files."""
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(abs(hash((name, n))) % 2**32)
        noise = rng.standard_normal((1, int(seconds * rate))) * np.linspace(1, 0, int(seconds * rate))
        write_wav(folder / name, (0.1 * noise).astype(np.float32), rate, "PCM_16")


NAMES = (
    "Doors/DOORWood_Wooden door slams_JD_LIB.wav",
    "Doors/DOORMetl_Metal door_JD_LIB.wav",
    "Rain/RAINGen_Heavy rain on a tin roof_JD_LIB.wav",
)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder with three sounds."""
    folder = tmp_path / "sfx"
    make_sounds(folder, NAMES)
    return folder


@pytest.fixture(scope="session")
def filled_once(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """A folder with `sfx/` and a `catalog.db` that holds its sounds, encoded: made once, copied by `filled`."""
    folder = tmp_path_factory.mktemp("filled")
    make_sounds(folder / "sfx", NAMES)
    options = ["--quiet", "--catalog", str(folder / "catalog.db"), "--bundle", str(tiny_bundle)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main([*options, "init"]) == 0
        assert main([*options, "ingest", "--settle", "0", str(folder / "sfx")]) == 0
    return folder


@pytest.fixture
def filled(spresso: Spresso, filled_once: Path, sounds: Path, tmp_path: Path) -> Spresso:
    """A catalog with the three sounds of `sounds`, encoded."""
    shutil.rmtree(sounds)
    shutil.copytree(filled_once / "sfx", sounds)  # keeps the times by which a scan knows files again
    shutil.copy(filled_once / "catalog.db", tmp_path / "catalog.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "catalog.db")) as database, database:
        database.execute("UPDATE watch_root SET path = ?, settle_s = 0", (str(sounds),))
    return spresso
