"""The denoiser D_theta: a diffusion transformer whose third modality, *audio-down*, carries the code.

Multimodal blocks hold one stream per modality and one joint attention over [text; audio-down; audio] (SD3, Flux).
Audio-down tokens use the audio stream's norms, modulation, output projection and MLP but their own Q, K, V
(S-PRESSO, section 3.2), and sit at the centre of the frames they stand for. Audio-only blocks follow.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spresso_assets.codec.attention import MLP, QKV, attend, rotary_angles
from spresso_assets.codec.config import POOLS, TransformerConfig


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
        self.modulation_6C = nn.Parameter(torch.zeros(6 if attends else 2, width))
        if not cfg.adaln_single:
            self.modulate = nn.Linear(cfg.dim, self.modulation_6C.numel())
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)
        if attends:
            self.out = nn.Linear(cfg.dim, width)
            self.mlp = MLP(width, cfg.mlp_ratio)

    def modulation(self, vec_BC: Tensor, shared_B6C: Tensor | None) -> tuple[Tensor, ...]:
        """Shift, scale, gate of attention, then of the MLP; each [B, 1, C]."""
        if shared_B6C is None:
            mod_B6C = self.modulate(F.silu(vec_BC)).view(len(vec_BC), -1, self.width) + self.modulation_6C
        else:
            mod_B6C = shared_B6C[:, : len(self.modulation_6C)] + self.modulation_6C
        return mod_B6C[:, :, None].unbind(1)

    def normed(self, x_BLC: Tensor, shift_B1C: Tensor, scale_B1C: Tensor) -> Tensor:
        return F.layer_norm(x_BLC, (self.width,), eps=1e-6) * (1 + scale_B1C) + shift_B1C

    def update(self, x_BLC: Tensor, attended_BLC: Tensor, mod: tuple[Tensor, ...]) -> Tensor:
        _, _, gate1_B1C, shift2_B1C, scale2_B1C, gate2_B1C = mod
        x_BLC = x_BLC + gate1_B1C * self.out(attended_BLC)
        return x_BLC + gate2_B1C * self.mlp(self.normed(x_BLC, shift2_B1C, scale2_B1C))


class MultimodalBlock(nn.Module):
    """Joint attention over text, audio-down (optional) and audio."""

    def __init__(self, cfg: TransformerConfig, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.text = Stream(cfg.text_width, cfg, attends=not last)
        self.audio = Stream(cfg.dim, cfg)
        self.down_qkv = QKV(cfg.dim, cfg.dim, cfg.head_dim)

    def forward(
        self, tokens: dict[str, Tensor], angles: dict[str, Tensor], vec_BC: Tensor, shared: dict[str, Tensor | None]
    ) -> dict[str, Tensor]:
        mods: dict[str, tuple[Tensor, ...]] = {
            "text": self.text.modulation(vec_BC, shared["text"]),
            "audio": self.audio.modulation(vec_BC, shared["audio"]),
        }
        streams: dict[str, Stream] = {"text": self.text, "down": self.audio, "audio": self.audio}
        projections: dict[str, QKV] = {"text": self.text.qkv, "down": self.down_qkv, "audio": self.audio.qkv}
        order: tuple[str, ...] = ("text", "down", "audio")
        names = [n for n in order if n in tokens]
        qkv: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for n in names:
            mod = mods["text" if n == "text" else "audio"]
            qkv[n] = projections[n](streams[n].normed(tokens[n], mod[0], mod[1]), angles[n])
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
            out[n] = streams[n].update(tokens[n], joint_BLC[:, start:end], mod)
            start = end
        return out


class AudioBlock(nn.Module):
    """Self-attention over audio tokens only."""

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.audio = Stream(cfg.dim, cfg)

    def forward(self, x_BLC: Tensor, angles_LR: Tensor, vec_BC: Tensor, shared_B6C: Tensor | None) -> Tensor:
        mod = self.audio.modulation(vec_BC, shared_B6C)
        attended_BLC = attend(*self.audio.qkv(self.audio.normed(x_BLC, mod[0], mod[1]), angles_LR))
        return self.audio.update(x_BLC, attended_BLC, mod)


class Transformer(nn.Module):
    """F_theta of the EDM preconditioning: (c_in x, c_noise, z, text) -> [B, T, C].

    Without ``z`` it is the prior of x0 (text-to-audio, or unconditional with the null text token). With ``z`` it
    generates what a linear sketch of x0, read off the code, leaves open: (x0 - sketch) in units of its own standard
    deviation. The code then never has to be re-learned by a deep network before it is any use, and noise only covers
    what is truly unknown, so that few solver steps suffice.
    """

    def __init__(self, cfg: TransformerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        dim = cfg.dim
        self.embed = nn.Linear(cfg.channels * cfg.patch, dim)
        self.embed_sketch = nn.Linear(cfg.channels * cfg.patch, dim)
        self.sketches = nn.ModuleDict({r: nn.Linear(cfg.code_dim, POOLS[r] * cfg.channels) for r in cfg.rates})
        for r in cfg.rates:
            self.register_buffer(f"residual_std_{r}_C", torch.ones(cfg.channels))
        self.features = NoiseLevelFeatures()
        self.vec = nn.Sequential(nn.Linear(256, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.text_embed = nn.Linear(cfg.text_dim, cfg.text_width)
        self.null_text_C = nn.Parameter(torch.randn(cfg.text_width) * 0.02)
        self.f_phi = nn.ModuleDict({r: nn.Linear(cfg.code_dim, dim) for r in cfg.rates})
        self.rate_vec = nn.ParameterDict({r: nn.Parameter(torch.zeros(dim)) for r in cfg.rates})
        self.mm_blocks = nn.ModuleList(MultimodalBlock(cfg, last=i == cfg.mm_blocks - 1) for i in range(cfg.mm_blocks))
        self.audio_blocks = nn.ModuleList(AudioBlock(cfg) for _ in range(cfg.audio_blocks))
        if cfg.adaln_single:
            self.audio_modulation, self.text_modulation = nn.Linear(dim, 6 * dim), nn.Linear(dim, 6 * cfg.text_width)
        self.head_modulation = nn.Linear(dim, 2 * dim)
        self.head = nn.Linear(dim, cfg.channels * cfg.patch)
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

    def init_audio_down(self, *, zero_values: bool = True) -> None:
        """Start audio-down's Q, K, V as copies of audio's.

        With V = 0 step 0 nearly equals the prior, which a frozen prior wants; but then no gradient reaches the code
        until V has grown, which a short training of the whole denoiser cannot afford.
        """
        for block in self.mm_blocks:
            assert isinstance(block, MultimodalBlock)
            block.down_qkv.load_state_dict(block.audio.qkv.state_dict())
            if zero_values:
                with torch.no_grad():
                    block.down_qkv.proj.weight[2 * self.cfg.dim :] = 0

    def sketch(self, z_BFD: Tensor, rate: str, frames: int) -> Tensor:
        """Linear estimate of x0 from the code: [B, F, D] -> [B, frames, C].

        Frames beyond the last token repeat its last frame; they are padding that a decode trims.
        """
        sketch_BTC = self.sketches[rate](z_BFD).float().reshape(len(z_BFD), -1, self.cfg.channels)
        missing = frames - sketch_BTC.shape[1]
        if missing > 0:
            sketch_BTC = torch.cat([sketch_BTC, sketch_BTC[:, -1:].expand(-1, missing, -1)], 1)
        return sketch_BTC[:, :frames]

    def residual_std(self, rate: str) -> Tensor:
        """[C] standard deviation of x0 - sketch: the unit of what diffusion generates at this rate."""
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
            z_BFD: [B, T/t, code_dim] code, or None for the prior.
            rate: frame-rate name of ``z``.
            text_BE: [B, text_dim] text embedding; None uses the learned null token.
            sketch_BTC: [B, T, C] `sketch` of ``z``, needed with it.

        Returns:
            [B, T, C].
        """
        cfg = self.cfg
        batch, frames, _ = x_BTC.shape
        device = x_BTC.device
        vec_BC = self.vec(self.features(c_noise_B))
        if text_BE is None:
            text_B1C = self.null_text_C.expand(batch, 1, -1)
        else:
            text_B1C = self.text_embed(text_BE)[:, None]
        tokens = {"text": text_B1C, "audio": self.embed(x_BTC.reshape(batch, frames // cfg.patch, -1))}
        audio_position_L = torch.arange(frames // cfg.patch, device=device) * cfg.patch + (cfg.patch - 1) / 2
        angles = {
            "text": rotary_angles(torch.zeros(1, device=device), cfg.head_dim),
            "audio": rotary_angles(audio_position_L, cfg.head_dim),
        }
        if z_BFD is not None:
            if rate is None or sketch_BTC is None:
                raise ValueError("z needs the name of its frame rate and its sketch")
            tokens["audio"] = tokens["audio"] + self.embed_sketch(sketch_BTC.reshape(batch, frames // cfg.patch, -1))
            pool = POOLS[rate]
            tokens["down"] = self.f_phi[rate](z_BFD)
            position_F = torch.arange(z_BFD.shape[1], device=device) * pool + (pool - 1) / 2
            angles["down"] = rotary_angles(position_F, cfg.head_dim)
            vec_BC = vec_BC + self.rate_vec[rate]
        shared: dict[str, Tensor | None] = {"text": None, "audio": None}
        if cfg.adaln_single:
            active_BC = F.silu(vec_BC)
            shared["audio"] = self.audio_modulation(active_BC).view(batch, 6, -1)
            shared["text"] = self.text_modulation(active_BC).view(batch, 6, -1)
        for block in self.mm_blocks:
            tokens = block(tokens, angles, vec_BC, shared)
        h_BLC = tokens["audio"]
        for block in self.audio_blocks:
            h_BLC = block(h_BLC, angles["audio"], vec_BC, shared["audio"])
        shift_B1C, scale_B1C = self.head_modulation(F.silu(vec_BC))[:, None].chunk(2, -1)
        h_BLC = F.layer_norm(h_BLC, (cfg.dim,), eps=1e-6) * (1 + scale_B1C) + shift_B1C
        return self.head(h_BLC).reshape(batch, frames, cfg.channels)
