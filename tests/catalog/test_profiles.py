"""Built-in profiles are the codec's operating points. The catalog may not import the codec, so each has its list."""

from __future__ import annotations

from spresso_assets.catalog.profiles import BITS_PER_VALUE, BUILT_IN, LATENT_DIM, LATENT_FRAMES_HZ
from spresso_assets.codec.config import HOP, OPERATING_POINTS, PRESETS, SAMPLE_RATE


def test_both_lists_name_the_same_points_in_the_same_order() -> None:
    assert list(BUILT_IN) == list(OPERATING_POINTS)


def test_a_profile_and_its_operating_point_are_equal() -> None:
    assert LATENT_FRAMES_HZ == SAMPLE_RATE / HOP
    for name, point in OPERATING_POINTS.items():
        profile = BUILT_IN[name]
        assert (profile.name, profile.frame_rate, profile.pool, profile.codebooks, profile.bits) == (
            point.name,
            point.rate,
            point.pool,
            point.codebooks,
            point.bits,
        )
        assert profile.frame_rate_hz == point.frame_rate_hz
        assert profile.nominal_kbps == point.nominal_kbps()


def test_continuous_latents_have_the_shipped_size() -> None:
    assert PRESETS["small"].latent_encoder.code_dim == LATENT_DIM
    assert OPERATING_POINTS["25hz"].nominal_kbps(LATENT_DIM) == LATENT_DIM * BITS_PER_VALUE * 25 / 1000
