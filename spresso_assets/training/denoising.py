"""What prior, adapter and fine-tuning share: batches of standardised latents, the EDM loss, and the evaluation.

The evaluation is the gate of every run: the relative error of D at a noise level, with the right code, and with the
code of another sound. A code that conveys nothing gives the same error for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from spresso_assets.codec.config import POOLS, ModelConfig
from spresso_assets.codec.diffusion import Uncertainty, denoise, edm_loss, sample_sigma
from spresso_assets.codec.latent_encoder import build_latent_encoder
from spresso_assets.codec.precision import has_fast_bf16
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import SpressoError
from spresso_assets.training.data import CropConfig, CropSampler, LatentCache
from spresso_assets.training.source import STATISTICS, Source, read_statistics

Code = Callable[[Tensor, str, torch.Generator], Tensor]


@dataclass(frozen=True)
class DenoisingConfig:
    """Noise levels and conditioning of a denoising stage.

    Attributes:
        p_mean, p_std: ln sigma ~ N(p_mean, p_std^2); the first ``early_fraction`` of the budget draws with
            ``early_p_mean`` instead, where only the code can help, so that the code is learned first.
        sketch_weight: weight of the sketch's own squared error, in units of its variance.
        text_dropout: share of clips whose caption is left out, so that the code has to carry the sound (paper).
        drop_code: share of batches without audio-down tokens (keeps the prior usable, enables guidance).
        rates: frame rates and how often a batch has them.
    """

    p_mean: float = -0.2
    p_std: float = 1.3
    early_p_mean: float = 2.0
    early_fraction: float = 0.3
    drop_code: float = 0.05
    text_dropout: float = 0.8
    sketch_weight: float = 1.0
    rates: dict[str, float] = field(default_factory=lambda: {"25hz": 0.25, "11hz": 0.25, "5hz": 0.2, "1hz": 0.3})
    crops: CropConfig = field(default_factory=CropConfig)


class Denoising:
    """Networks and data of a denoising stage.

    Args:
        data: folder made by ``build_cache``.
        device: where the networks run; bf16 autocast is used where the device has it.
    """

    def __init__(self, model: ModelConfig, cfg: DenoisingConfig, data: Path, device: str = "cpu") -> None:
        self.model, self.cfg, self.device = model, cfg, torch.device(device)
        self.mean_C, std_C = read_statistics(data)
        self.scale_C = model.sigma_data / std_C
        self.train, self.val = LatentCache(data, "train"), LatentCache(data, "val")
        self.sampler = CropSampler(self.train, cfg.crops)
        torch.manual_seed(0)
        self.transformer = Transformer(model.transformer, model.sigma_data).to(self.device)
        self.encoder = build_latent_encoder(model.latent_encoder).to(self.device)
        self.uncertainty = Uncertainty().to(self.device)
        self._val_batches = self._make_val()

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer, "encoder": self.encoder, "uncertainty": self.uncertainty}

    def load(self, source: Source, stage: str, *names: str) -> None:
        """Averaged weights of the named modules from an earlier stage, or from the bundle that the run starts from.

        A prior may lack adapters, which then keep their initial values; adapters of rates that are not trained here
        are left out.
        """
        for name in names:
            state, module = source.state(name, stage), self.modules()[name]
            others = set(POOLS) - set(self.model.rates)
            state = {k: v for k, v in state.items() if not others & set(k.split("."))}
            if module is self.transformer:
                fresh = {k: v for k, v in module.state_dict().items() if Transformer.is_adapter(k)}
                state = {**fresh, **state}
            module.load_state_dict(state)

    def val_batches(self, rate: str | None) -> Iterator[Tensor]:
        """The held-out batches [B, T, C] in whole tokens and patches of ``rate``, on the device."""
        multiple = self.model.frame_multiple(rate)
        for batch_BTC in self._val_batches:
            yield batch_BTC[:, : batch_BTC.shape[1] // multiple * multiple].to(self.device)

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bf16(self.device))

    @property
    def rates(self) -> list[str]:
        """Frame rates to train: those of the options that the model has; none for a bare prior."""
        return [r for r in self.cfg.rates if r in self.model.rates]

    def draw(self, generator: torch.Generator) -> tuple[Tensor, str | None]:
        """x0 [B, T, C] standardised, and the rate that this batch is coded at, if the model knows any."""
        return self.draw_captioned(generator)[:2]

    def draw_captioned(self, generator: torch.Generator) -> tuple[Tensor, str | None, Tensor | None]:
        """`draw`, and the text embedding [B, E] of each clip after dropout, if the cache has any."""
        names, rate = self.rates, None
        if names:
            weights = torch.tensor([self.cfg.rates[n] for n in names])
            rate = names[int(torch.multinomial(weights, 1, generator=generator))]
        raw_BTC, text_BE = self.sampler.captioned_batch(generator, self.model.frame_multiple(rate))
        if text_BE is not None:
            dropped_B1 = torch.rand(len(text_BE), 1, generator=generator) < self.cfg.text_dropout
            text_BE = text_BE.masked_fill(dropped_B1, torch.nan).to(self.device)
        return ((raw_BTC - self.mean_C) * self.scale_C).to(self.device), rate, text_BE

    def target(self, x0_BTC: Tensor, z_BFD: Tensor | None, rate: str | None) -> tuple[Tensor, Tensor | None]:
        """What is diffused, [B, T, C] with std sigma_data, and the sketch it is the rest of.

        The prior, and a model without a linear code, have no sketch: None, and x0 itself is diffused.

        The sketch is detached in the target: it must not grow wrong on purpose to stand out of the noise.
        """
        if z_BFD is None or rate is None or not self.model.transformer.linear_code:
            return x0_BTC, None
        sketch_BTC = self.transformer.sketch(z_BFD, rate, x0_BTC.shape[1])
        scale_C = self.model.sigma_data / self.transformer.residual_std(rate)
        return (x0_BTC - sketch_BTC.detach()) * scale_C, sketch_BTC

    def step(self, generator: torch.Generator, fraction: float, code: Code | None) -> tuple[Tensor, dict[str, float]]:
        """Loss of one batch; ``code`` maps (x0, rate) to the z that conditions, None trains the prior."""
        cfg, sigma_data = self.cfg, self.model.sigma_data
        x0_BTC, rate, text_BE = self.draw_captioned(generator)
        p_mean = cfg.early_p_mean if code and fraction < cfg.early_fraction else cfg.p_mean
        sigma_B = sample_sigma(len(x0_BTC), p_mean, cfg.p_std, generator).to(self.device)
        noise_BTC = torch.randn(x0_BTC.shape, generator=generator).to(self.device)
        metrics: dict[str, float] = {}
        with self.autocast():
            coded = code is not None and float(torch.rand(1, generator=generator)) >= cfg.drop_code
            z_BFD = code(x0_BTC, rate, generator) if code and coded and rate else None
            target_BTC, sketch_BTC = self.target(x0_BTC, z_BFD, rate)
            noisy_BTC = target_BTC + sigma_B[:, None, None] * noise_BTC
            # Without its code a rate still names its adapter: a frozen prior has nothing to learn from such a batch.
            named = rate if code else None
            denoised_BTC = denoise(
                self.transformer,
                noisy_BTC,
                sigma_B,
                sigma_data,
                z_BFD=z_BFD,
                rate=named,
                text_BE=text_BE,
                sketch_BTC=sketch_BTC,
            )
        loss = edm_loss(denoised_BTC - target_BTC, sigma_B, self.uncertainty(sigma_B), sigma_data)
        metrics[f"error_{rate}" if coded else "error_prior"] = _relative(denoised_BTC - target_BTC, sigma_data)
        if sketch_BTC is not None and rate is not None:
            std_C = self.transformer.residual_std(rate)
            rest_BTC = x0_BTC - sketch_BTC
            # One scale for all channels: a decibel is a decibel in every band.
            loss = loss + cfg.sketch_weight * rest_BTC.square().mean() / std_C.square().mean()
            metrics[f"sketch_{rate}"] = _relative(rest_BTC, sigma_data)
            with torch.no_grad():  # follow the sketch as it improves
                std_C.lerp_(rest_BTC.square().mean((0, 1)).sqrt().clamp_min(1e-3), 0.01)
        return loss, metrics

    def _make_val(self) -> list[Tensor]:
        """Up to 5 s of every val sound, in a few batches of like length; padded with silence."""
        window = self.model.window_frames
        short = [i for i in range(len(self.val.names)) if self.val.length_I[i] <= 100]
        long = [i for i in range(len(self.val.names)) if self.val.length_I[i] > 100]
        batches = []
        for group, length in ((short, 108), (long, window + 4)):
            if group:
                raw_BTC = torch.stack([self.val.crop(i, length) for i in group[:: max(1, len(group) // 32)][:32]])
                batches.append((raw_BTC - self.mean_C) * self.scale_C)
        return batches

    @torch.no_grad()
    def evaluate(self, code: Code | None, sigmas: tuple[float, ...] = (0.2, 1.0, 5.0, 20.0)) -> dict[str, float]:
        """Relative RMS error of D per rate and sigma; ``*_other`` with another sound's code; ``mean`` of all others."""
        result: dict[str, float] = {}
        generator = torch.Generator().manual_seed(7)
        rates = self.rates if code else ["prior"]
        for rate in rates:
            for sigma in sigmas:
                errors, others, count = 0.0, 0.0, 0
                for x0_BTC in self.val_batches(rate if code else None):
                    noise_BTC = torch.randn(x0_BTC.shape, generator=generator).to(self.device)
                    z_BFD = code(x0_BTC, rate, generator) if code else None
                    errors += self._squared_error(x0_BTC, noise_BTC, sigma, z_BFD, rate)
                    if z_BFD is not None and sigma == 5.0:
                        others += self._squared_error(x0_BTC, noise_BTC, sigma, z_BFD.roll(1, 0), rate)
                    count += x0_BTC.numel()
                result[f"{rate}_{sigma:g}"] = (errors / count) ** 0.5 / self.model.sigma_data
                if others:
                    result[f"{rate}_{sigma:g}_other"] = (others / count) ** 0.5 / self.model.sigma_data
        own = [v for k, v in result.items() if not k.endswith("_other")]
        result["mean"] = sum(own) / len(own)
        return result

    def _squared_error(self, x0_BTC: Tensor, noise_BTC: Tensor, sigma: float, z_BFD: Tensor | None, rate: str) -> float:
        """Sum of squared errors of D in units of x0, at noise level ``sigma`` of what is diffused."""
        sigma_B = torch.full((len(x0_BTC),), sigma, device=self.device)
        with self.autocast():
            target_BTC, sketch_BTC = self.target(x0_BTC, z_BFD, rate)
            error_BTC = target_BTC - denoise(
                self.transformer,
                target_BTC + sigma * noise_BTC,
                sigma_B,
                self.model.sigma_data,
                z_BFD=z_BFD,
                rate=rate if z_BFD is not None else None,
                sketch_BTC=sketch_BTC,
            )
        unit_C = torch.ones(()) if z_BFD is None else self.transformer.residual_std(rate) / self.model.sigma_data
        return float((error_BTC * unit_C).square().sum())


def _relative(error_BTC: Tensor, sigma_data: float) -> float:
    return float(error_BTC.detach().square().mean().sqrt() / sigma_data)


def require_cache(data: Path) -> None:
    if not (data / STATISTICS).exists():
        raise SpressoError(
            f"no latent cache in {data}", code="no_latent_cache", hint="Run 'spresso train prepare' first."
        )
