from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spresso_assets.audio.overview import COLUMNS, Overview


def pairs(overview: Overview) -> np.ndarray:
    return np.frombuffer(overview.to_bytes(), np.int8).reshape(-1, 2)


@given(st.integers(1, 4_000), st.integers(1, 3), st.integers(1, 900), st.booleans())
def test_columns_hold_the_extremes_of_their_share(frames: int, channels: int, block: int, known: bool) -> None:
    x_NC = np.random.default_rng(frames).uniform(-1, 1, (frames, channels)).astype(np.float32)
    overview = Overview(frames if known else None)
    for at in range(0, frames, block):
        overview.add(x_NC[at : at + block])
    found = pairs(overview)
    assert 1 <= len(found) <= COLUMNS
    assert found[:, 0].min() == np.floor(x_NC.min() * 127)
    assert found[:, 1].max() == np.ceil(x_NC.max() * 127)
    if known:
        columns = min(COLUMNS, frames)
        for column in range(0, columns, 37):
            piece = x_NC[column * frames // columns : (column + 1) * frames // columns]
            assert found[column, 0] == np.clip(np.floor(piece.min() * 127), -127, 127)
            assert found[column, 1] == np.clip(np.ceil(piece.max() * 127), -127, 127)


def test_only_true_silence_looks_silent() -> None:
    overview = Overview(1_024)
    overview.add(np.full((512, 1), 1e-5, np.float32))
    overview.add(np.zeros((512, 1), np.float32))
    assert (pairs(overview)[:256, 1] == 1).all()
    assert not pairs(overview)[256:].any()
