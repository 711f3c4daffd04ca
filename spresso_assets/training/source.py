"""Where a stage's starting weights come from: earlier stages of its run, else the bundle that the run starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from spresso_assets.codec.bundle import WEIGHTS, check_bundle, read_config
from spresso_assets.codec.config import ModelConfig
from spresso_assets.codec.latent_encoder import LatentEncoder, LatentEncoders, build_latent_encoder
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.transformer import Transformer
from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import CHECKPOINT, averaged_state, load_checkpoint, save_checkpoint
from spresso_assets.training.quantizer import RESULT, load_quantizer

STATISTICS = "statistics.safetensors"


@dataclass(frozen=True)
class Source:
    """A run folder, and optionally a bundle for whatever the run has not trained itself.

    Attributes:
        run: folder with one sub-folder per stage. base: bundle folder, or None for a run from nothing.
    """

    run: Path
    base: Path | None = None

    def has(self, stage: str) -> bool:
        """True if the run holds a checkpoint of ``stage``."""
        return (self.run / stage / CHECKPOINT).exists()

    def state(self, module: str, *stages: str) -> dict[str, Tensor]:
        """State dict of ``module`` from the first of ``stages`` that the run holds, else from the base, in float32.

        Raises:
            SpressoError: ``checkpoint_missing`` if neither holds it, ``checkpoint_corrupt``, or what the base raises.
        """
        for stage in stages:
            if self.has(stage):
                return averaged_state(self.run / stage / CHECKPOINT, module)
        if self.base is None:
            raise SpressoError(
                f"this run has no {' or '.join(stages)} yet",
                code="checkpoint_missing",
                hint=f"Run 'spresso train {stages[-1]}' first, or start from a bundle with --base.",
            )
        return bundle_state(self.base, module)

    def adapted(self, model: ModelConfig) -> ModelConfig:
        """``model`` with the LoRA rank that its adapter stage really has, which need not be the preset's."""
        stage = stage_folder("adapter", model)
        if not self.has(stage):
            return model
        state = self.state("transformer", stage)
        return model.with_lora(next((len(v) for k, v in state.items() if k.endswith(".down_RI")), 0))

    def denoiser(self, model: ModelConfig) -> tuple[ModelConfig, dict[str, Tensor]]:
        """Sizes and weights of a denoiser that all rates share, after all stages so far, its LoRA folded in.

        Raises:
            SpressoError: as `state`.
        """
        model = self.adapted(model)
        state = self.state("transformer", "finetune", "adapter")
        if model.transformer.lora_rank:
            denoiser = Transformer(model.transformer, model.sigma_data)
            denoiser.load_state_dict(state)
            state, model = denoiser.folded_state(model.rates[0]), model.with_lora(0)
        return model, state

    def latent_encoder(self, model: ModelConfig) -> LatentEncoder | LatentEncoders:
        """The latent encoder g_psi after the adapter stage, in eval mode.

        Raises:
            SpressoError: as `state`.
        """
        encoder = build_latent_encoder(model.latent_encoder)
        encoder.load_state_dict(self.state("encoder", stage_folder("adapter", model)))
        return encoder.eval()

    def quantizers(self, model: ModelConfig) -> dict[str, QINCo2]:
        """Quantizers by frame rate, the run's own before those of the base.

        Raises:
            SpressoError: ``checkpoint_missing`` if a rate of the preset has none.
        """
        return {rate: self.quantizer(model, rate) for rate in model.quantizers}

    def quantizer(self, model: ModelConfig, rate: str) -> QINCo2:
        """The quantizer of one frame rate, see `quantizers`."""
        path = self.run / "quantizer" / rate / RESULT
        if path.exists():
            return load_quantizer(path)
        if self.base is None:
            raise SpressoError(
                f"no quantizer for {rate} in this run",
                code="checkpoint_missing",
                hint=f"Run 'spresso train quantizer {rate}' first.",
            )
        quantizer = QINCo2(model.quantizers[rate])
        quantizer.load_state_dict(bundle_state(self.base, f"quantizer.{rate}"))
        return quantizer.eval()


def stage_folder(stage: str, model: ModelConfig) -> str:
    """Sub-folder of a run for one stage of ``model``: one per frame rate where rates are trained apart."""
    return "/".join((stage, *model.rates)) if model.per_rate else stage


def base_model(base: Path) -> ModelConfig:
    """Sizes of a base bundle.

    Raises:
        SpressoError: ``model_missing`` or ``bundle_corrupt``.
    """
    return read_config(base)[0]


def bundle_state(bundle: Path, module: str) -> dict[str, Tensor]:
    """State dict of one module of a bundle, float32 where it is floating point.

    Raises:
        SpressoError: ``model_missing``, ``bundle_corrupt``, ``weights_mismatch`` or ``checkpoint_missing``.
    """
    check_bundle(bundle)
    prefix = f"{module}."
    with safe_open(bundle / WEIGHTS, "pt") as weights:
        tensors = {k[len(prefix) :]: weights.get_tensor(k) for k in weights.keys() if k.startswith(prefix)}  # noqa: SIM118 (it is no dict)
    if not tensors:
        raise SpressoError(f"bundle '{bundle.name}' has no {module}", code="checkpoint_missing")
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def write_statistics(bundle: Path, data: Path) -> None:
    """Make a cache stand in the units of ``bundle``: its networks know no other mean and scale of x0."""
    state = bundle_state(bundle, "autoencoder")
    data.mkdir(parents=True, exist_ok=True)
    save_checkpoint(data / STATISTICS, {"mean": state["mean_C"], "std": state["std_C"]}, {})


def read_statistics(data: Path) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation of raw latents that a cache is standardised by: [C], [C]."""
    tensors, _ = load_checkpoint(data / STATISTICS)
    return tensors["mean"], tensors["std"]
