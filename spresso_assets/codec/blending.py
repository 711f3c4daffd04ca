"""One solver over a sound of any length, in bounded memory.

The network sees windows; where they overlap, their estimates D are blended at every evaluation (MultiDiffusion,
Bar-Tal et al. 2023), so that one solver runs on one signal and no seam is ever cut.

The windows of an evaluation only need the results of the evaluation before on their own frames. So the sound does not
have to pass through an evaluation as a whole: a group of windows advances as far as it can, each evaluation stopping
one window short of the one before, and the next group takes up from there. The arithmetic is that of all windows at
once; what is held is a group and as many windows as there are evaluations.

    evaluation 0   | 0 1 2 3 | 4 5 6 7 |
    evaluation 1   | 0 1 2 | 3 4 5 6 | 7 |      windows 0 to 7 in groups of four
    evaluation 2   | 0 1 | 2 3 4 5 | 6 7 |
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from spresso_assets.codec.sampling import Solver
from spresso_assets.codec.windows import Span, blend_weights

# Windows by number, the noisy latents [B, T, C] of each, and sigma -> D of each.
WindowDenoiser = Callable[[range, list[Tensor], float], list[Tensor]]


class _Segment:
    """The frames from the start of one window to that of the next: a solver, and what it is being told."""

    def __init__(self, start: int, stop: int, solver: Solver, noise_BTC: Tensor, sigmas: list[float]) -> None:
        self.start, self.stop = start, stop
        self._steps = solver(noise_BTC, sigmas)
        self.sample_BTC: Tensor | None = None
        self._ask(next(self._steps))

    def _ask(self, asked: tuple[Tensor, float]) -> None:
        self.x_BTC, self.sigma = asked
        self._total_BTC = torch.zeros_like(self.x_BTC)
        self._weight_T1 = self.x_BTC.new_zeros(self.stop - self.start, 1)

    def hear(self, d_BTC: Tensor, weight_T1: Tensor, span: Span) -> None:
        """One window's estimate, weighted."""
        count = min(self.stop, span[1]) - self.start
        at = slice(self.start - span[0], self.start - span[0] + count)
        self._total_BTC[:, :count] += weight_T1[at] * d_BTC[:, at]
        self._weight_T1[:count] += weight_T1[at]

    def advance(self) -> None:
        """All windows have been heard: to the next evaluation, or to the end."""
        try:
            self._ask(self._steps.send(self._total_BTC / self._weight_T1))
        except StopIteration as end:
            self.sample_BTC = end.value


def solve_in_windows(
    solver: Solver,
    denoiser: WindowDenoiser,
    noise: Callable[[int, int], Tensor],
    sigmas: list[float],
    windows: list[Span],
    group: int,
) -> Iterator[Tensor]:
    """Solve a long signal.

    Args:
        solver: see `sampling`.
        denoiser: evaluates windows of equal sigma.
        noise: start and stop frame -> start of the solver [B, stop - start, C], standard deviation sigmas[0].
        windows: from `windows.decode_windows`.
        group: how many windows advance together.

    Yields:
        Samples [B, n, C], one per window: the frames from its start to that of the next window.
    """
    bounds = [start for start, _ in windows] + [windows[-1][1]]
    touched = [bisect_left(bounds, stop) for _, stop in windows]  # the segment that follows a window's last one
    segments: dict[int, _Segment] = {}
    done: list[int] = []  # windows evaluated, by evaluation
    opened = 0
    while not done or done[-1] < len(windows):
        ready = min(opened + group, len(windows))
        for i in range(opened, ready):
            start, stop = bounds[i], bounds[i + 1]
            segments[i] = _Segment(start, stop, solver, noise(start, stop), sigmas)
        opened = ready
        for evaluation in itertools.count():
            if evaluation == len(done):
                done.append(0)
            first = last = done[evaluation]
            while last < len(windows) and touched[last] <= ready:
                last += 1
            if last == first:
                break
            _evaluate(range(first, last), windows, touched, segments, denoiser)
            for i in range(first, last):
                segments[i].advance()
            done[evaluation] = ready = last
            if segments[first].sample_BTC is not None:
                for i in range(first, last):
                    sample_BTC = segments.pop(i).sample_BTC
                    assert sample_BTC is not None
                    yield sample_BTC
                break


def _evaluate(
    indices: range, windows: list[Span], touched: list[int], segments: dict[int, _Segment], denoiser: WindowDenoiser
) -> None:
    noisy = []
    for i in indices:
        start, stop = windows[i]
        noisy.append(torch.cat([segments[s].x_BTC for s in range(i, touched[i])], 1)[:, : stop - start])
    estimates = denoiser(indices, noisy, segments[indices[0]].sigma)
    for i, d_BTC in zip(indices, estimates, strict=True):
        start, stop = windows[i]
        weight_T = blend_weights(stop - start, i == 0, stop == windows[-1][1])
        weight_T1 = torch.from_numpy(weight_T)[:, None].to(d_BTC.device)
        for s in range(i, touched[i]):
            segments[s].hear(d_BTC, weight_T1, (start, stop))
