"""Nothing is heard where windows meet; `test_blending` holds the arithmetic, this the sound.

Flux is the mean |difference| of one frame of 10 ms to the next. Frames change most where a token ends, whatever the
windows do; so the frames where windows begin and end, which token borders are, are held against all token borders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spresso_assets.codec.bundle import default_bundle
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.stft import LogMel
from spresso_assets.codec.windows import RAMP_FRAMES, decode_windows

AMBIENCES = (
    "blanket/data/resources/sounds/rain.ogg",
    "openclonk/planet/Sound.ocg/Liquids.ocg/StereoRain.ogg",
    "redeclipse/ambience/river.ogg",
    "redeclipse/ambience/waterfall2.ogg",
    "redeclipse/ambience/windy.ogg",
)


def _flux(frames_TC: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change on the way into each frame, [T]; the first is 0."""
    return np.abs(np.diff(frames_TC, axis=0, prepend=frames_TC[:1])).mean(1)


def _borders(codec: SPresso, rate: str, frames: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Frames where a window begins or ends inside of the sound, and the ramps between."""
    windows = decode_windows(frames, codec.config.window_frames, codec.config.frame_multiple(rate))
    ramps = [(start, stop) for (start, _), (_, stop) in zip(windows[1:], windows[:-1], strict=True)]
    return [frame for ramp in ramps for frame in ramp], ramps


@pytest.mark.slow
@pytest.mark.corpus
@pytest.mark.parametrize("point", ["2.5kbps", "1.32kbps"])
def test_ambiences_have_no_seams(point: str) -> None:
    """Within 5 % of the flux of other token borders where windows begin and end, of all frames along the ramps."""
    from spresso_assets.audio.read import read_audio
    from spresso_assets.audio.resample import resample

    corpus = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    if not corpus.is_dir():
        pytest.skip("needs ../shared/corpus beside the checkout")
    codec = SPresso.load(default_bundle())
    op = codec.operating_point(point)
    multiple = codec.config.frame_multiple(op.rate)
    logmel = LogMel(1920, 480, 1920, 64, 48_000, 50.0, 20_000.0, 1e-9)
    borders, ramps = [], []
    for path in AMBIENCES:
        sound = read_audio(corpus / path)
        audio_1N = resample(sound.samples.mean(0, keepdims=True), sound.sample_rate, 48_000)[:, : 480 * 2430]
        stream = codec.encode(audio_1N, 48_000, point)
        frames = -(-audio_1N.shape[1] // 480 // multiple) * multiple
        marks, spans = _borders(codec, op.rate, frames)
        inside = np.zeros(audio_1N.shape[1] // 480, bool)
        for start, stop in spans:
            inside[start:stop] = True
        token = np.arange(op.pool, len(inside), op.pool)
        for seed in range(3):
            decoded_1N, _ = codec.decode(stream, seed)
            flux_T = _flux(logmel(torch.from_numpy(decoded_1N[:, : 480 * len(inside)]))[0].numpy())
            around = sorted({m + d for m in marks for d in (-1, 0, 1) if m + d < len(flux_T)})
            others = np.setdiff1d(np.concatenate([token - 1, token, token + 1]), around)
            others = others[(others > RAMP_FRAMES // 10) & (others < len(flux_T))]
            borders.append(flux_T[around].mean() / flux_T[others].mean())
            ramps.append(flux_T[inside].mean() / flux_T[~inside].mean())
    assert np.mean(borders) == pytest.approx(1, abs=0.05)
    assert np.mean(ramps) == pytest.approx(1, abs=0.05)
