"""Trains the spectrogram-image codec: bits + lambda * (squared error of the image + mel error), rates drawn at random.

spresso train rival spectrogram SOUNDS --run RUN --max-minutes 600 [--resume]

With an adversary (`rivals_illm`) there is a second part, in which the decoder alone goes on learning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spresso_assets.codec.stft import mel_filterbank
from spresso_assets.rivals.spectrogram.codec import magnitudes_to_image, write_bundle
from spresso_assets.rivals.spectrogram.config import HYPER_SHRINK, RANGE_DB, SAMPLE_RATE, SpectrogramConfig
from spresso_assets.rivals.spectrogram.network import ImageCodec
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state
from spresso_assets.training.loop import Kept, Loop, LoopConfig
from spresso_assets.training.rivals_data import Clips, clips_file
from spresso_assets.training.rivals_illm import Illm, IllmConfig

STAGE = "model"


@dataclass(frozen=True)
class SpectrogramTrainingConfig:
    """Clips, and what is asked of the network.

    Attributes:
        frames: of a clip's image, a multiple of 64. batch: clips per step.
        mel_weight: of the mean |difference| of log mel energies, beside the mean squared error of pixels (which is
            taken in units of a tenth of the image's range, 10 dB).
        adversary: a discriminator of patches, and when it plays; none unless asked for.
    """

    frames: int = 256
    batch: int = 4
    mel_weight: float = 1.0
    bands: int = 96
    adversary: IllmConfig = field(default_factory=IllmConfig)


class ImageLoss:
    """Distortion of images [B, 1, T, F]."""

    def __init__(self, cfg: SpectrogramConfig, training: SpectrogramTrainingConfig, device: torch.device) -> None:
        bank_FM = mel_filterbank(cfg.window, training.bands, SAMPLE_RATE, 20, SAMPLE_RATE / 2)
        self.bank_FM, self.weight = bank_FM[:-1].to(device), training.mel_weight

    def __call__(self, made: Tensor, image: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Per clip [B], and values to log: ``db`` is the root mean square error of levels."""
        square_B = (made - image).square().mean((1, 2, 3))
        mel_B = (self._mel(made) - self._mel(image)).abs().mean((1, 2, 3))
        values = {"db": float(square_B.detach().mean().sqrt()) * RANGE_DB, "mel": float(mel_B.detach().mean())}
        return 100 * square_B + self.weight * mel_B, values

    def _mel(self, image: Tensor) -> Tensor:
        power = 10 ** ((image.clamp(0, 1.1) - 1) * (RANGE_DB / 10))
        return torch.log10(power @ self.bank_FM + 1e-9)


def train_spectrogram(
    cfg: SpectrogramConfig,
    data: Path,
    out: Path,
    loop: LoopConfig,
    training: SpectrogramTrainingConfig | None = None,
    *,
    resume: bool = False,
    device: str = "cpu",
) -> dict[str, float]:
    """Train on the clips in ``data``; returns distortion and rate on val, at the coarsest and the finest."""
    training = training or SpectrogramTrainingConfig()
    torch.manual_seed(0)
    network = ImageCodec(cfg).to(device)
    illm = Illm(training.adversary, cfg.latents, device) if training.adversary.kind != "none" else None
    kept: dict[str, Kept] = {"adversary": illm} if illm else {}
    train, val = Clips(data / clips_file("train")), Clips(data / clips_file("val"))
    loss_of = ImageLoss(cfg, training, torch.device(device))
    samples = (training.frames - 1) * cfg.hop
    seconds = samples / SAMPLE_RATE

    def images(audio_BCN: Tensor) -> Tensor:
        pictures = [magnitudes_to_image(np.abs(cfg.gabor.analyse(x_N.numpy())), cfg.gabor) for x_N in audio_BCN[:, 0]]
        return torch.from_numpy(np.stack(pictures)).float()[:, None].to(device)

    def step(generator: torch.Generator, _fraction: float) -> tuple[Tensor, dict[str, float]]:
        if illm is not None and illm.begins(runner.step):
            illm.playing = True
            if training.adversary.freeze_encoder:
                start_from_averages(runner)
        if illm is not None and illm.playing and training.adversary.freeze_encoder:
            freeze_encoder(network)
        image = images(train.batch(training.batch, samples, generator))
        # Between the trained rates too, as a sound may be coded at any of them.
        rate = float(torch.rand((), generator=generator)) * (len(cfg.rates) - 1)
        weight = float(np.interp(rate, range(len(cfg.rates)), np.log(cfg.rates)))
        latents, bits_B = network.latents(image, rate, generator)
        made = network.synthesis(latents)
        distortion_B, values = loss_of(made, image)
        if illm is not None and illm.learns(runner.step):
            values |= illm.learn_labels(image, generator)
        if illm is not None and illm.playing:
            adversarial, told = illm.play(image, made, latents)
            distortion_B, values = distortion_B + training.adversary.weight * adversarial, values | told
        kbps_B = bits_B / seconds / 1000
        # Divided by the weight's root, so that no rate has all of the gradient.
        loss = (kbps_B + np.exp(weight) * distortion_B).mean() / np.exp(weight / 2)
        return loss, values | {"kbps": float(kbps_B.detach().mean())}

    def evaluate() -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for i in range(0, len(val), max(1, len(val) // 32)):
            image = images(val.clip(i, samples)[None])
            for name, rate in (("coarse", 0.0), ("fine", len(cfg.rates) - 1.0)):
                made, bits_B = network(image, rate, None)
                _, values = loss_of(made, image)
                for key, value in (values | {"kbps": float(bits_B) / seconds / 1000}).items():
                    found.setdefault(f"{name}_{key}", []).append(value)
        return {k: sum(v) / len(v) for k, v in found.items()}

    assert training.frames % HYPER_SHRINK == 0
    runner = Loop({"network": network}, loop, out / STAGE, resume=resume, kept=kept)
    return runner.run(step, evaluate, "spectrogram")


def start_from_averages(runner: Loop) -> None:
    """Make averaged weights the live ones: where nothing is learned from here on, both stay the same."""
    runner.swap_ema()
    for average in (runner.ema, *runner.extra):
        average.restore({name: p.detach() for name, p in runner.named.items()})


def freeze_encoder(network: ImageCodec) -> None:
    """Leave to learn what has no say in a stream: the decoder, and the gains after rounding."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith("synthesis.") or name == "ungain_RM")


def bundle_spectrogram(cfg: SpectrogramConfig, run: Path, folder: Path) -> None:
    """The averaged weights of a run as a folder that the codec opens.

    Raises:
        SpressoError: ``checkpoint_missing``.
    """
    network = ImageCodec(cfg)
    network.load_state_dict(averaged_state(run / STAGE / CHECKPOINT, "network"))
    write_bundle(folder, network)
