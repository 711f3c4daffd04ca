"""The networks of a bundle, loaded and on their devices: what both halves of the codec work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from spresso_assets.codec.autoencoder import AudioAE
from spresso_assets.codec.config import ModelConfig
from spresso_assets.codec.latent_encoder import LatentEncoder, LatentEncoders
from spresso_assets.codec.quantizer import QINCo2
from spresso_assets.codec.student import trained_student
from spresso_assets.codec.transformer import Transformer


@dataclass(frozen=True)
class Networks:
    """Modules in eval mode with merged adapters.

    Attributes:
        student_updates: what makes the few-step student of the transformer; empty if the bundle has none.
        quantizers: by frame-rate name; may lack rates that were not trained. They stay on the CPU: codes must not
            depend on a GPU.
    """

    config: ModelConfig
    autoencoder: AudioAE
    transformer: Transformer
    encoder: LatentEncoder | LatentEncoders
    quantizers: dict[str, QINCo2]
    device: torch.device
    student_updates: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def student(self) -> Transformer:
        """The few-step student, made when it is first asked for; only with ``config.student``."""
        return trained_student(self.transformer, self.student_updates)
