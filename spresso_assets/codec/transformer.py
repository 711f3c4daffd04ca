"""The denoiser D_theta: a diffusion transformer whose third modality, *audio-down*, carries the code.

Multimodal blocks hold one stream per modality and one joint attention over [text; audio-down; audio] (SD3, Flux).
Audio-down tokens use the audio stream's norms, modulation, output projection and MLP but their own Q, K, V
(S-PRESSO, section 3.3), and sit at the centre of the frames they stand for. Audio-only blocks follow.

The prior knows no code. What a code needs on top of it is an adapter: a low-rank update of the audio stream (LoRA) and
Q, K, V of audio-down, either shared by all frame rates or one set per rate on one prior. A forward pass names the rate
and so picks the adapter; without a rate it is the prior, exactly.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.attention import MLP, QKV, attend, rotary_angles
from spresso_assets.codec.config import POOLS, TransformerConfig
from spresso_assets.codec.lora import LowRank, adapted


class NoiseLevelFeatures(nn.Module):
    """Fixed random Fourier features of c_noise [B] -> [B, 2 R] (EDM2: cos(2 pi (f c + phi)) sqrt 2)."""

    frequency_R: Tensor
    phase_R: Tensor

    def __init__(self, count: int = 256) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(count)
        self.register_buffer("frequency_R", torch.randn(count, generator=generator))
        self.register_buffer("phase_R", torch.rand(count, generator=generator))

    def forward(self, c_noise_B: Tensor) -> Tensor:
        turns_BR = c_noise_B.float()[:, None] * self.frequency_R + self.phase_R
        return (2 * math.pi * turns_BR).cos() * math.sqrt(2)


class Stream(nn.Module):
    """One modality's share of a block: norms, modulation, QKV, output projection, MLP."""

    def __init__(self, width: int, cfg: TransformerConfig, *, attends: bool = True) -> None:
        super().__init__()
        self.width = width
        self.qkv = QKV(width, cfg.dim, cfg.head_dim)
        # A stream whose tokens end after this block lends keys and values only (SD3's context_pre_only).
        self.attends = attends
        parts = 6 if attends else 2
        if cfg.adaln_single:
            self.modulation_6C = nn.Parameter(torch.zeros(parts, width))
        else:
            self.modulate = nn.Linear(cfg.dim, parts * width)
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
        if attends:
            self.out = nn.Linear(cfg.dim, width)
            self.mlp = MLP(width, cfg.mlp_ratio)

    def modulation(self, vec_BC: Tensor, shared_B6C: Tensor | None) -> tuple[Tensor, ...]:
        """Shift, scale, gate of attention, then of the MLP; each [B, 1, C]."""
        if shared_B6C is None:
            mod_B6C = self.modulate(F.silu(vec_BC)).view(len(vec_BC), -1, self.width)
        else:
            mod_B6C = shared_B6C[:, : len(self.modulation_6C)] + self.modulation_6C
        return mod_B6C[:, :, None].unbind(1)

    def normed(self, x_BLC: Tensor, shift_B1C: Tensor, scale_B1C: Tensor) -> Tensor:
        return F.layer_norm(x_BLC, (self.width,), eps=1e-6) * (1 + scale_B1C) + shift_B1C

    def update(
        self, x_BLC: Tensor, attended_BLC: Tensor, mod: tuple[Tensor, ...], lora: StreamLoRA | None = None
    ) -> Tensor:
        _, _, gate1_B1C, shift2_B1C, scale2_B1C, gate2_B1C = mod
        out, widening, narrowing = (lora.out, lora.widen, lora.narrow) if lora is not None else (None, None, None)
        x_BLC = x_BLC + gate1_B1C * adapted(self.out, out, attended_BLC)
        return x_BLC + gate2_B1C * self.mlp(self.normed(x_BLC, shift2_B1C, scale2_B1C), widening, narrowing)


class StreamLoRA(nn.Module):
    """Low-rank updates of one block's audio stream: fused QKV, output projection, both MLP layers."""

    def __init__(self, stream: Stream, rank: int) -> None:
        super().__init__()
        self.qkv, self.out = LowRank(stream.qkv.proj, rank), LowRank(stream.out, rank)
        self.widen, self.narrow = (LowRank(layer, rank) for layer in stream.mlp.linear)

    def fold_into(self, stream: Stream) -> None:
        widen, narrow = stream.mlp.linear
        self.qkv.fold_into(stream.qkv.proj)
        self.out.fold_into(stream.out)
        self.widen.fold_into(widen)
        self.narrow.fold_into(narrow)


@dataclass(frozen=True)
class BlockAdapter:
    """What an adapter lends to one block: the audio stream's LoRA, and Q, K, V of audio-down in multimodal blocks."""

    lora: StreamLoRA | None = None
    down_qkv: QKV | None = None


PRIOR = BlockAdapter()


class MultimodalBlock(nn.Module):
    """Joint attention over text, audio-down (optional) and audio."""

    def __init__(self, cfg: TransformerConfig, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.text = Stream(cfg.text_width, cfg, attends=not last)
        self.audio = Stream(cfg.dim, cfg)
        if cfg.adapters == "shared":
            self.down_qkv = QKV(cfg.dim, cfg.dim, cfg.head_dim)

    def forward(
        self,
        tokens: dict[str, Tensor],
        angles: dict[str, Tensor],
        vec_BC: Tensor,
        shared: dict[str, Tensor | None],
        adapter: BlockAdapter = PRIOR,
    ) -> dict[str, Tensor]:
        mods: dict[str, tuple[Tensor, ...]] = {
            "text": self.text.modulation(vec_BC, shared["text"]),
            "audio": self.audio.modulation(vec_BC, shared["audio"]),
        }
        streams: dict[str, Stream] = {"text": self.text, "down": self.audio, "audio": self.audio}
        order: tuple[str, ...] = ("text", "down", "audio")
        names = [n for n in order if n in tokens]
        qkv: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for n in names:
            mod = mods["text" if n == "text" else "audio"]
            x_BLC = streams[n].normed(tokens[n], mod[0], mod[1])
            if n == "down":
                assert adapter.down_qkv is not None
                qkv[n] = adapter.down_qkv(x_BLC, angles[n])
            else:
                lora = adapter.lora if n == "audio" else None
                qkv[n] = streams[n].qkv(x_BLC, angles[n], None if lora is None else lora.qkv)
        # After the last multimodal block only audio goes on: other queries would be computed for nothing.
        live = ["audio"] if self.last else names
        joint_BLC = attend(
            torch.cat([qkv[n][0] for n in live], 2),
            torch.cat([qkv[n][1] for n in names], 2),
            torch.cat([qkv[n][2] for n in names], 2),
        )
        out: dict[str, Tensor] = {}
        start = 0
        for n in live:
            end = start + tokens[n].shape[1]
            mod = mods["text" if n == "text" else "audio"]
            lora = None if n == "text" else adapter.lora
            out[n] = streams[n].update(tokens[n], joint_BLC[:, start:end], mod, lora)
            start = end
        return out


class AudioBlock(nn.Module):
    """Self-attention over audio tokens only."""

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.audio = Stream(cfg.dim, cfg)

    def forward(
        self,
        x_BLC: Tensor,
        angles_LR: Tensor,
        vec_BC: Tensor,
        shared_B6C: Tensor | None,
        adapter: BlockAdapter = PRIOR,
    ) -> Tensor:
        mod = self.audio.modulation(vec_BC, shared_B6C)
        update = None if adapter.lora is None else adapter.lora.qkv
        attended_BLC = attend(*self.audio.qkv(self.audio.normed(x_BLC, mod[0], mod[1]), angles_LR, update))
        return self.audio.update(x_BLC, attended_BLC, mod, adapter.lora)


SHARED = "shared"  # key of the one LoRA that all rates use


class Transformer(nn.Module):
    """F_theta of the EDM preconditioning: (c_in x, c_noise, z, text) -> [B, T, C].

    Without a rate it is the prior of x0 (text-to-audio, or unconditional with the null text token). With a rate and its
    code z it generates x0. With a linear code it generates what a linear sketch of x0, read off the code, leaves open:
    (x0 - sketch) in units of its own standard deviation. The code then never has to be re-learned by a deep network
    before it is any use, and noise only covers what is truly unknown, so that few solver steps suffice.

    Args:
        sigma_data: standard deviation of x0, the unit of what is diffused.
    """

    def __init__(self, cfg: TransformerConfig, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.cfg, self.sigma_data = cfg, sigma_data
        dim = cfg.dim
        self.embed = nn.Linear(cfg.channels * cfg.patch, dim)
        if cfg.linear_code:
            self.embed_sketch = nn.Linear(cfg.channels * cfg.patch, dim)
            self.sketches = nn.ModuleDict({r: nn.Linear(cfg.code_dim, POOLS[r] * cfg.channels) for r in cfg.rates})
            for r in cfg.rates:
                self.register_buffer(f"residual_std_{r}_C", torch.ones(cfg.channels))
        self.features = NoiseLevelFeatures()
        self.vec = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.text_embed = nn.Linear(cfg.text_dim, cfg.text_width)
        self.null_text_C = nn.Parameter(torch.randn(cfg.text_width) * 0.02)
        self.f_phi = nn.ModuleDict({r: nn.Linear(cfg.code_dim, dim) for r in cfg.rates})
        if cfg.adapters == "shared":
            self.rate_vec = nn.ParameterDict({r: nn.Parameter(torch.zeros(dim)) for r in cfg.rates})
        self.mm_blocks = nn.ModuleList(MultimodalBlock(cfg, last=i == cfg.mm_blocks - 1) for i in range(cfg.mm_blocks))
        self.audio_blocks = nn.ModuleList(AudioBlock(cfg) for _ in range(cfg.audio_blocks))
        if cfg.adaln_single:
            self.audio_modulation, self.text_modulation = nn.Linear(dim, 6 * dim), nn.Linear(dim, 6 * cfg.text_width)
        self.head_modulation = nn.Linear(dim, 2 * dim)
        self.head = nn.Linear(dim, cfg.channels * cfg.patch)
        if cfg.adapters == "per_rate":
            self.down_qkv = nn.ModuleDict(
                {r: nn.ModuleList(QKV(dim, dim, cfg.head_dim) for _ in self.mm_blocks) for r in cfg.rates}
            )
        if cfg.lora_rank:
            names = cfg.rates if cfg.adapters == "per_rate" else (SHARED,)
            self.lora = nn.ModuleDict(
                {n: nn.ModuleList(StreamLoRA(s, cfg.lora_rank) for s in self._audio_streams()) for n in names}
            )
        self._zero_init()

    def _zero_init(self) -> None:
        """adaLN-zero: every block starts as the identity and the output as zero (DiT, Peebles & Xie 2023)."""
        for layer in (getattr(self, "audio_modulation", None), getattr(self, "text_modulation", None)):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        for layer in (self.head_modulation, self.head):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @staticmethod
    def is_adapter(name: str) -> bool:
        """Whether a parameter or buffer of this name serves the code, and not the prior."""
        parts = name.split(".")
        return (
            parts[0] in ("f_phi", "rate_vec", "down_qkv", "lora", "sketches", "embed_sketch")
            or parts[0].startswith("residual_std_")
            or "down_qkv" in parts
        )

    def _audio_streams(self) -> list[Stream]:
        """The audio stream of every block, in order: what a LoRA adapts."""
        return [block.audio for block in (*self.mm_blocks, *self.audio_blocks)]

    def _lora(self, rate: str) -> list[StreamLoRA]:
        """The updates of every block's audio stream at this rate, in order; empty if there are none."""
        key = rate if self.cfg.adapters == "per_rate" else SHARED
        updates: Any = self.lora[key] if self.cfg.lora_rank else ()
        return list(updates)

    def _adapters(self, rate: str | None) -> list[BlockAdapter]:
        """What the adapter of ``rate`` lends to each block; nothing without a rate."""
        count = len(self.mm_blocks) + len(self.audio_blocks)
        if rate is None:
            return [PRIOR] * count
        own: Any = self.down_qkv[rate] if self.cfg.adapters == "per_rate" else (b.down_qkv for b in self.mm_blocks)
        return [BlockAdapter(lora, down) for lora, down, _ in zip_longest(self._lora(rate), own, range(count))]

    def init_audio_down(self, *, zero_values: bool = True) -> None:
        """Start audio-down's Q, K, V as copies of audio's.

        With V = 0 step 0 nearly equals the prior, which a frozen prior wants; but then no gradient reaches the code
        until V has grown, which a short training of the whole denoiser cannot afford.
        """
        for rate in self.cfg.rates if self.cfg.adapters == "per_rate" else self.cfg.rates[:1]:
            for stream, adapter in zip(self._audio_streams(), self._adapters(rate), strict=True):
                if adapter.down_qkv is not None:
                    adapter.down_qkv.load_state_dict(stream.qkv.state_dict())
                    if zero_values:
                        with torch.no_grad():
                            adapter.down_qkv.proj.weight[2 * self.cfg.dim :] = 0

    def sketch(self, z_BFD: Tensor, rate: str, frames: int) -> Tensor:
        """Linear estimate of x0 from the code: [B, F, D] -> [B, frames, C]; zero without a linear code.

        Frames beyond the last token repeat its last frame; they are padding that a decode trims.
        """
        if not self.cfg.linear_code:
            return z_BFD.new_zeros(len(z_BFD), frames, self.cfg.channels, dtype=torch.float32)
        sketch_BTC = self.sketches[rate](z_BFD).float().reshape(len(z_BFD), -1, self.cfg.channels)
        missing = frames - sketch_BTC.shape[1]
        if missing > 0:
            sketch_BTC = torch.cat([sketch_BTC, sketch_BTC[:, -1:].expand(-1, missing, -1)], 1)
        return sketch_BTC[:, :frames]

    def residual_std(self, rate: str) -> Tensor:
        """[C] standard deviation of x0 - sketch: the unit of what diffusion generates at this rate."""
        if not self.cfg.linear_code:
            return torch.full((self.cfg.channels,), self.sigma_data, device=self.head.weight.device)
        std_C: Tensor = getattr(self, f"residual_std_{rate}_C")
        return std_C

    def forward(
        self,
        x_BTC: Tensor,
        c_noise_B: Tensor,
        z_BFD: Tensor | None = None,
        rate: str | None = None,
        text_BE: Tensor | None = None,
        sketch_BTC: Tensor | None = None,
    ) -> Tensor:
        """Denoiser network.

        Args:
            x_BTC: [B, T, C] preconditioned noisy latents, T a multiple of ``patch`` (and of t with ``z``).
            c_noise_B: [B] ln(sigma) / 4.
            z_BFD: [B, T/t, code_dim] code; None leaves the audio-down tokens out.
            rate: frame-rate name of ``z``, which picks the adapter; None is the prior.
            text_BE: [B, text_dim] text embeddings; None, or a row that is not finite, uses the learned null token.
            sketch_BTC: [B, T, C] `sketch` of ``z``, needed with it where the code is linear, else not looked at.

        Returns:
            [B, T, C].

        Raises:
            ValueError: ``z`` without its rate or its sketch.
        """
        cfg = self.cfg
        batch, frames, _ = x_BTC.shape
        device = x_BTC.device
        vec_BC = self.vec(self.features(c_noise_B))
        text_B1C = self.null_text_C.expand(batch, 1, -1)
        if text_BE is not None:
            given_B11 = text_BE.isfinite().all(1)[:, None, None]
            text_B1C = torch.where(given_B11, self.text_embed(text_BE.nan_to_num())[:, None], text_B1C)
        tokens = {"text": text_B1C, "audio": self.embed(x_BTC.reshape(batch, frames // cfg.patch, -1))}
        audio_position_L = torch.arange(frames // cfg.patch, device=device) * cfg.patch + (cfg.patch - 1) / 2
        angles = {
            "text": rotary_angles(torch.zeros(1, device=device), cfg.head_dim),
            "audio": rotary_angles(audio_position_L, cfg.head_dim),
        }
        if z_BFD is not None:
            if rate is None or (cfg.linear_code and sketch_BTC is None):
                raise ValueError("z needs the name of its frame rate and its sketch")
            if cfg.linear_code and sketch_BTC is not None:
                sketch_BLX = sketch_BTC.reshape(batch, frames // cfg.patch, -1)
                tokens["audio"] = tokens["audio"] + self.embed_sketch(sketch_BLX)
            pool = POOLS[rate]
            tokens["down"] = self.f_phi[rate](z_BFD)
            position_F = torch.arange(z_BFD.shape[1], device=device) * pool + (pool - 1) / 2
            angles["down"] = rotary_angles(position_F, cfg.head_dim)
            if cfg.adapters == "shared":
                vec_BC = vec_BC + self.rate_vec[rate]
        shared: dict[str, Tensor | None] = {"text": None, "audio": None}
        if cfg.adaln_single:
            active_BC = F.silu(vec_BC)
            shared["audio"] = self.audio_modulation(active_BC).view(batch, 6, -1)
            shared["text"] = self.text_modulation(active_BC).view(batch, 6, -1)
        adapters = iter(self._adapters(rate))
        for block in self.mm_blocks:
            tokens = block(tokens, angles, vec_BC, shared, next(adapters))
        h_BLC = tokens["audio"]
        for block in self.audio_blocks:
            h_BLC = block(h_BLC, angles["audio"], vec_BC, shared["audio"], next(adapters))
        shift_B1C, scale_B1C = self.head_modulation(F.silu(vec_BC))[:, None].chunk(2, -1)
        h_BLC = F.layer_norm(h_BLC, (cfg.dim,), eps=1e-6) * (1 + scale_B1C) + shift_B1C
        return self.head(h_BLC).reshape(batch, frames, cfg.channels)

    @torch.no_grad()
    def folded_state(self, rate: str) -> dict[str, Tensor]:
        """State dict of the plain denoiser with the LoRA of ``rate`` folded into its weights.

        It fits a config with ``lora_rank = 0``, and with this one frame rate where adapters are per rate. Outputs agree
        up to rounding, and every evaluation saves the update's own products.
        """
        folded = copy.deepcopy(self)
        if self.cfg.lora_rank:
            for update, stream in zip(folded._lora(rate), folded._audio_streams(), strict=True):
                update.fold_into(stream)
            del folded.lora
        state: dict[str, Tensor] = folded.state_dict()
        if self.cfg.adapters == "per_rate":
            others = {r for r in self.cfg.rates if r != rate}
            state = {k: v for k, v in state.items() if not others & set(k.split("."))}
        return state
