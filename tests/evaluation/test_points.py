"""Names of ways to sample, and which points make a full measurement."""

from __future__ import annotations

import pytest

from spresso_assets.codec.codec import QUALITIES
from spresso_assets.codec.config import StudentConfig
from spresso_assets.codec.sampling import dpm_solver_2m, heun
from spresso_assets.errors import ExitCode, SpressoError
from spresso_assets.evaluation.points import (
    AUTOENCODER,
    CODEC,
    MEAN_SPECTRUM,
    OTHER_SOUND,
    decode_options,
    evaluations,
    standard_points,
    takes,
)


def test_qualities_and_counted_solvers() -> None:
    assert decode_options("preview") == ("preview", None)
    assert decode_options("dpm16") == ("default", 16)
    assert decode_options("heun8") == ("paper", 8)
    assert decode_options("best4") == ("default", None)
    assert [takes(name) for name in ("best4", "default", "dpm16")] == [4, 1, 1]
    assert [evaluations(name) for name in ("dpm16", "heun8", "paper")] == [16, 15, 127]
    student = StudentConfig(rank=4, sigmas=(5.0, 1.0, 0.2))
    assert [evaluations(name, student) for name in ("preview", "dpm3")] == [3, 3]


def test_solver_names_say_what_the_codec_does() -> None:
    assert QUALITIES["default"].solver is dpm_solver_2m
    assert QUALITIES["paper"].solver is heun


@pytest.mark.parametrize("name", ["", "best", "dpm", "dpm0", "best0", "heun1000", "euler8"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(SpressoError) as caught:
        decode_options(name)
    assert caught.value.code == "unknown_quality" and caught.value.exit_code is ExitCode.USAGE


def test_a_point_that_is_wanted_twice_is_measured_once_on_all_sounds() -> None:
    points = standard_points(
        ["25hz", "1hz"], ["default"], samplers=["default", "paper"], sampler_profiles=["1hz"], sampler_limit=5, seeds=3
    )
    by_key = {p.key: p for p in points}
    assert len(by_key) == len(points)
    assert {p.method for p in points} == {AUTOENCODER, MEAN_SPECTRUM, OTHER_SOUND, CODEC}
    shared, paper = by_key[CODEC, "1hz", "default"], by_key[CODEC, "1hz", "paper"]
    assert (shared.limit, shared.seeds) == (None, 3)
    assert (paper.limit, paper.seeds) == (5, 1)  # one is dear enough
    assert by_key[CODEC, "25hz", "default"].seeds == 1
