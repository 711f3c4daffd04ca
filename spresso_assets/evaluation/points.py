"""What to measure: profiles, ways to sample, and the floors and ceilings that make their figures readable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from spresso_assets.codec.config import StudentConfig
from spresso_assets.errors import ExitCode, SpressoError

REFERENCE_QUALITY = "paper"  # what other samplers of the same code and seed are held against
SOLVERS = {"dpm": "default", "heun": REFERENCE_QUALITY}  # solver in a name -> quality whose start and range it takes
_COUNTED = re.compile(rf"({'|'.join(SOLVERS)})([1-9]\d{{0,2}})")
_BEST = re.compile(r"best([1-9]\d{0,2})")

CODEC = "codec"
AUTOENCODER = "autoencoder"  # x0 through the AudioAE's decoder: the ceiling of every profile
MEAN_SPECTRUM = "mean spectrum"  # x0 = 0 through the same decoder: knows only the level
OTHER_SOUND = "another sound"  # the code of another sound at this one's level: knows nothing of this one


@dataclass(frozen=True)
class Point:
    """One row of the results.

    Attributes:
        profile: operating point; empty for methods without a code.
        quality: see `decode_options`; empty for methods that do not sample.
        method: ``codec``, ``autoencoder``, ``mean spectrum`` or ``another sound``.
        limit: measure so many of the sounds, the first ones; None for all.
        seeds: decodes per sound; two or more give its diversity. Metrics are those of the first.
    """

    profile: str = ""
    quality: str = ""
    method: str = CODEC
    limit: int | None = None
    seeds: int = 1

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells rows apart."""
        return (self.method, self.profile, self.quality)


def decode_options(quality: str) -> tuple[str, int | None]:
    """(quality, steps) to decode with.

    Args:
        quality: a quality of the codec; ``dpmN`` or ``heunN``: ``default`` or ``paper`` with N solver steps; or
            ``bestN``: ``default`` with the seed that comes closest of N, see `takes`.

    Raises:
        SpressoError: ``unknown_quality``.
    """
    from spresso_assets.codec.codec import QUALITIES

    if quality in QUALITIES:
        return quality, None
    if _BEST.fullmatch(quality):
        return "default", None
    if counted := _COUNTED.fullmatch(quality):
        return SOLVERS[counted[1]], int(counted[2])
    raise SpressoError(
        f"unknown quality '{quality}'",
        code="unknown_quality",
        hint=f"Known: {', '.join(QUALITIES)}, dpm16 or heun18 for so many steps, best4 for the best of 4 seeds.",
        exit_code=ExitCode.USAGE,
    )


def takes(quality: str) -> int:
    """Among how many seeds encoding chooses: N for ``bestN``, 1 otherwise."""
    best = _BEST.fullmatch(quality)
    return int(best[1]) if best else 1


def evaluations(quality: str, student: StudentConfig | None = None) -> int:
    """How often a quality calls the denoiser: N with DPM-Solver++(2M), 2 N - 1 with Heun; the student's own number."""
    from spresso_assets.codec.codec import QUALITIES
    from spresso_assets.codec.sampling import heun

    name, steps = decode_options(quality)
    if name == "preview" and student is not None:
        return len(student.sigmas)
    how = QUALITIES[name]
    count = steps or how.steps
    return 2 * count - 1 if how.solver is heun else count


def standard_points(
    profiles: Iterable[str],
    qualities: Iterable[str],
    *,
    samplers: Iterable[str] = (),
    sampler_profiles: Iterable[str] = (),
    sampler_limit: int = 8,
    seeds: int = 1,
) -> list[Point]:
    """Every profile at every quality, floors and ceiling; then samplers, on the first sounds of a few profiles.

    Samplers are held against Heun-64, which costs as much as everything else together: hence their own, smaller share,
    and one seed for Heun-64 itself. The code of another sound is decoded per sampler profile, or for the first profile.
    """
    profiles, qualities, few = list(profiles), list(qualities), list(sampler_profiles)
    points = {p.key: p for p in (Point(method=AUTOENCODER), Point(method=MEAN_SPECTRUM))}
    main = [Point(profile, quality) for quality in qualities for profile in profiles]
    further = [
        Point(p, q, limit=sampler_limit, seeds=1 if q == REFERENCE_QUALITY or takes(q) > 1 else seeds)
        for q in samplers
        for p in few
    ]
    others = [Point(p, qualities[0], OTHER_SOUND, limit=sampler_limit) for p in few or profiles[:1]] if main else []
    for point in [*main, *further, *others]:
        known = points.get(point.key)
        # A row wanted on all sounds stays on all of them, and gives its diversity too.
        points[point.key] = (
            Point(point.profile, point.quality, point.method, known.limit, max(known.seeds, point.seeds))
            if known
            else point
        )
    return list(points.values())
