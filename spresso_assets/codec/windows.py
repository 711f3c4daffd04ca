"""Windows over sounds longer than the networks were trained on. Frame arithmetic only; no torch.

Encoding keeps the centre of each window, where every token has seen context on both sides. Decoding blends the
windows' denoised estimates at every solver step (MultiDiffusion, Bar-Tal et al. 2023), so that one solver runs on one
global signal and no seam is ever cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONTEXT_FRAMES = 50  # what a kept token sees at least on each side, away from the ends of the sound
RAMP_FRAMES = 100

Span = tuple[int, int]  # first frame, and the one after the last


@dataclass(frozen=True)
class Window:
    """Frames ``start`` .. ``stop`` go through the network; ``keep_start`` .. ``keep_stop`` of them are used."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def window_length(limit: int, multiple: int) -> int:
    """The window nearest above ``limit`` frames that holds whole tokens and patches."""
    return -(-limit // multiple) * multiple


def encode_windows(frames: int, limit: int, multiple: int) -> list[Window]:
    """Cover ``frames`` (a multiple of ``multiple``) with windows of about ``limit``; kept parts tile the sound."""
    length = window_length(limit, multiple)
    if frames <= length:
        return [Window(0, frames, 0, frames)]
    margin = -(-CONTEXT_FRAMES // multiple) * multiple
    hop = max(multiple, length - 2 * margin)
    windows: list[Window] = []
    keep = 0
    while keep < frames:
        start = min(max(0, keep - margin), frames - length)
        stop = start + length
        keep_stop = frames if stop == frames else min(frames, max(keep + multiple, start + margin + hop))
        windows.append(Window(start, stop, keep, keep_stop))
        keep = keep_stop
    return windows


def decode_windows(frames: int, limit: int, multiple: int) -> list[Span]:
    """(start, stop) of overlapping windows on the token grid; all of one length, the last one shifted left."""
    length = window_length(limit, multiple)
    if frames <= length:
        return [(0, frames)]
    stride = max(multiple, (length - RAMP_FRAMES) // multiple * multiple)
    starts = [*range(0, frames - length, stride), frames - length]
    return [(s, s + length) for s in starts]


def blend_weights(length: int, first: bool, last: bool) -> NDArray[np.float32]:
    """Trapezoid weights [length]: linear ramps where a neighbour overlaps, flat at the ends of the sound."""
    ramp = min(RAMP_FRAMES, length // 2)
    weight_T = np.ones(length, np.float32)
    rising = (np.arange(ramp, dtype=np.float32) + 1) / (ramp + 1)
    if not first:
        weight_T[:ramp] = rising
    if not last:
        weight_T[length - ramp :] = np.minimum(weight_T[length - ramp :], rising[::-1])
    return weight_T
