"""Sizes of the spectrogram-image codec."""

from __future__ import annotations

from dataclasses import dataclass

from spresso_assets.rivals.spectrogram.gabor import Gabor

NAME, SYSTEM = "spectrogram", 34
SAMPLE_RATE = 48_000
RANGE_DB = 100.0  # from black to white; white is a sine of full scale
FINENESS = 16  # steps of the rate between two trained ones
Z_LIMIT = 31  # hyper-latents lie in -31..31
SCALES = 64  # spreads of latents, from 0.11 on, each a tenth more than the one before
SCALE_MIN, SCALE_MAX = 0.11, 64.0
SCALE_START = 4.0  # scale of untrained latents: cheap ones, of which training finds those that are worth more
SURE = 2  # latents of scales up to this one are zero, and not sent: less than one in a thousand would not be
SHRINK, HYPER_SHRINK = 16, 64  # pixels of the image per latent and per hyper-latent, in both directions


@dataclass(frozen=True)
class SpectrogramConfig:
    """Sizes.

    Attributes:
        window, hop: of the transform, samples.
        widths: channels after each halving; the last is that of the latents.
        hyper: channels of hyper-latents.
        rates: distortion weights (lambda) that one model is trained for, coarse to fine.
        kbps: operating points; the quality between the trained ones that just keeps to a rate is searched for each
            sound.
    """

    window: int = 1024
    hop: int = 128
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    hyper: int = 64
    rates: tuple[float, ...] = (1.0, 6.0, 36.0, 216.0)
    kbps: tuple[float, ...] = (1.5, 3.0, 6.0, 12.0)

    @property
    def gabor(self) -> Gabor:
        return Gabor(self.window, self.hop)

    @property
    def latents(self) -> int:
        return self.widths[-1]

    @property
    def rows(self) -> int:
        """Rows (frequencies) of the image: the bin at the Nyquist frequency is left out."""
        return self.window // 2


PRESETS = {
    "small": SpectrogramConfig(),
    "tiny": SpectrogramConfig(window=256, hop=32, widths=(4, 6, 8, 12), hyper=6),
}
