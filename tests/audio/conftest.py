"""Sounds to test with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.audio.nasty import Nasty, build


@pytest.fixture(scope="session")
def nasty_files(tmp_path_factory: pytest.TempPathFactory) -> list[Nasty]:
    """The folder of `nasty.py`, built once."""
    return build(tmp_path_factory.mktemp("nasty"))


@pytest.fixture
def noise_CN() -> np.ndarray:
    """One second of stereo noise on the 16-bit grid at 48 kHz, float32 [2, 48000]."""
    rng = np.random.default_rng(7)
    return (rng.integers(-20_000, 20_000, (2, 48_000)) / 32_768).astype(np.float32)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The shared corpus beside the checkout."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("needs ../shared/corpus beside the checkout")
    return folder
