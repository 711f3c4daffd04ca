"""Phase gradient heap integration: a phase that fits given magnitudes (Prusa, Balazs, Sondergaard 2017).

With a Gaussian window of width gamma, hop a and M samples, s = log |X| tells the derivatives of the phase,

    along time       d phase / dn =  (a M / gamma) ds/dm + 2 pi a m / M
    along frequency  d phase / dm = -(gamma / (a M)) ds/dn

(counted from the centre of each frame), and summing them up from bin to bin gives a phase. Where the magnitude is
small the derivatives are wrong, so paths should keep to large ones: the paper lets a heap decide which bin goes next.
That order grows a tree, in which every bin hangs on its larger neighbour. It is the maximum spanning tree of the bins,
which compiled code finds at once; the phase is then a sum along the branches, for all bins at a time by pointer
doubling. Same tree, but for ties, and several times real time where a heap in Python is several times slower.

Bins below a tolerance get a random phase: nobody can say what theirs is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from spresso_assets.rivals.spectrogram.gabor import Gabor, Real

TOLERANCE = 1e-6  # of the largest magnitude
BLOCK_FRAMES = 4096  # frames integrated at once: bounds the memory of long sounds
BLOCK_OVERLAP = 64  # frames that a block shares with the one before, to go on from its phase


def integrate(magnitude_TF: Real, gabor: Gabor, *, seed: int = 0, tolerance: float = TOLERANCE) -> Real:
    """Phase [T, F] in radians for the magnitudes of a signal's coefficients; a function of them and the seed alone.

    Long sounds go in blocks; each block's trees start from the phase that the block before has left.
    """
    frames, bins = magnitude_TF.shape
    generator = np.random.Generator(np.random.Philox(seed))
    floor = tolerance * float(magnitude_TF.max(initial=0.0))
    phase_TF = np.empty((frames, bins))
    for start in range(0, max(frames, 1), BLOCK_FRAMES):
        first, stop = max(0, start - BLOCK_OVERLAP), min(frames, start + BLOCK_FRAMES)
        known_TF = phase_TF[first:start]
        phase_TF[start:stop] = _block(magnitude_TF[first:stop], known_TF, gabor, floor, generator)[start - first :]
    return phase_TF


def gradients(log_TF: Real, gabor: Gabor) -> tuple[Real, Real]:
    """Derivatives of the phase along time and frequency, radians per frame and per bin, from log-magnitudes."""
    scale = gabor.hop * gabor.window / gabor.gamma
    rotation_F = 2 * np.pi * gabor.hop * np.arange(gabor.bins) / gabor.window
    # A real signal's magnitudes go on beyond both ends of the axis as if in a mirror.
    along_time_TF = scale * _slope(np.pad(log_TF, ((0, 0), (1, 1)), "reflect"), 1)[:, 1:-1] + rotation_F
    return along_time_TF, -_slope(log_TF, 0) / scale


def _slope(values_TF: Real, axis: int) -> Real:
    return np.gradient(values_TF, axis=axis) if values_TF.shape[axis] > 1 else np.zeros_like(values_TF)


def _block(
    magnitude_TF: Real, known_TF: Real, gabor: Gabor, floor: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Phase of a block whose first frames are known."""
    frames, bins = magnitude_TF.shape
    phase_TF = generator.uniform(-np.pi, np.pi, (frames, bins))
    heard_TF = magnitude_TF > floor
    if not heard_TF.any():
        return phase_TF
    log_TF = np.log(np.maximum(magnitude_TF, max(floor, np.finfo(float).tiny)))
    parent_V = _trees(log_TF, heard_TF, len(known_TF))
    along_time_TF, along_frequency_TF = gradients(log_TF, gabor)
    # What a bin's phase is more than that of its parent: the trapezoid rule along one axis.
    vertices = np.arange(frames * bins)
    step_V = np.zeros(frames * bins)
    for distance, slope_V in ((bins, along_time_TF.reshape(-1)), (1, along_frequency_TF.reshape(-1))):
        for sign in (1, -1):
            here = np.flatnonzero(vertices - parent_V == sign * distance)
            step_V[here] = sign * (slope_V[here] + slope_V[parent_V[here]]) / 2
    root_V = parent_V.copy()
    while True:  # after k rounds: sums over 2^k steps up the tree
        above_V = root_V[root_V]
        if np.array_equal(above_V, root_V):
            break
        step_V += step_V[root_V]
        root_V = above_V
    start_V = np.zeros(frames * bins)
    start_V[: known_TF.size] = known_TF.reshape(-1)
    heard_V = heard_TF.reshape(-1)
    phase_V = phase_TF.reshape(-1)
    phase_V[heard_V] = (start_V[root_V] + step_V)[heard_V]
    phase_V -= _turn(magnitude_TF, phase_V, root_V, known_TF.size)
    return np.angle(np.exp(1j * phase_V)).reshape(frames, bins)


def _turn(magnitude_TF: Real, phase_V: Real, root_V: npt.NDArray[np.int64], known: int) -> Real:
    """By how much to turn each tree so that its bins at 0 Hz and at the Nyquist frequency become real numbers.

    Both signs would do; trees that hang on known bins stay.
    """
    bins = magnitude_TF.shape[1]
    for_real = np.s_[:, :: bins - 1]
    twice = (magnitude_TF**2 * np.exp(2j * phase_V.reshape(-1, bins)))[for_real].reshape(-1)
    roots = root_V.reshape(-1, bins)[for_real].reshape(-1)
    sums = [np.bincount(roots, part, len(root_V)) for part in (twice.real, twice.imag)]
    turn_V = np.arctan2(sums[1], sums[0]) / 2
    turn_V[:known] = 0.0
    return turn_V[root_V]


def _trees(log_TF: Real, heard_TF: npt.NDArray[np.bool_], known: int) -> npt.NDArray[np.int64]:
    """For each bin the neighbour that its phase is reached from, or itself at the top of a tree and if unheard.

    Two neighbours are as strongly tied as the weaker is large. A root is tied, more weakly than any two, to the peaks,
    so that it cuts every island at its summit; and more strongly than any to bins of known phase.
    """
    frames, bins = log_TF.shape
    numbers_TF = np.arange(frames * bins).reshape(frames, bins)
    root = frames * bins
    span = float(np.ptp(log_TF[heard_TF])) + 1.0
    top = float(log_TF.max())
    height_TF = np.where(heard_TF, top - log_TF, np.inf)  # 0 at the loudest, up to span
    ends, costs = [], []
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        # The small second term settles ties between ways to the same bin in favour of the larger neighbour.
        cost = np.maximum(height_TF[a], height_TF[b]) + 1e-3 * np.minimum(height_TF[a], height_TF[b])
        there = np.isfinite(cost)
        ends.append((numbers_TF[a][there], numbers_TF[b][there]))
        costs.append(1.0 + cost[there])
    peaks = heard_TF.copy()
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        peaks[a] &= height_TF[a] <= height_TF[b]
        peaks[b] &= height_TF[b] <= height_TF[a]
    peaks[:known] = False
    ends.append((np.full(int(peaks.sum()), root), numbers_TF[peaks]))
    costs.append(1.0 + 2 * span + height_TF[peaks])
    fixed = numbers_TF[:known][heard_TF[:known]]
    ends.append((np.full(len(fixed), root), fixed))
    costs.append(np.full(len(fixed), 0.5))
    from_E, to_E = (np.concatenate(side).astype(np.int32) for side in zip(*ends, strict=True))
    graph = coo_array((np.concatenate(costs), (from_E, to_E)), shape=(root + 1, root + 1)).tocsr()
    tree = minimum_spanning_tree(graph)
    _, parent_V = breadth_first_order(tree, root, directed=False)
    parent_V = parent_V[:-1].astype(np.int64)
    own = np.arange(root)
    return np.where((parent_V < 0) | (parent_V == root), own, parent_V)
