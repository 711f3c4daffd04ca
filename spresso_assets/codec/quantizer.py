"""QINCo2: residual quantization whose codewords depend on what was decoded so far.

A vector is coded in M steps. Plain residual quantization (RQ) adds one fixed codeword per step. Here step m >= 1 adds
f_m(c, x^), the codeword c bent by a small network that sees x^, the reconstruction of the steps before it
(Huijben et al., "Residual Quantization with Implicit Neural Codebooks"; Vallaeys et al., "QINCo2"). The network's last
layer starts at zero, so an untrained QINCo2 *is* the RQ that its codebooks came from.

Axes: B vectors, M steps, K codewords, D latent channels, E network width, R beams, A candidates per beam.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spresso_assets.codec.quantizer_config import QuantizerConfig
from spresso_assets.errors import SpressoError

__all__ = ["QINCo2", "QuantizerConfig", "Step", "top_indices"]

# Vectors that go through the beam search at once: the candidates of a chunk then stay in the second-level cache.
_CHUNK = 32


class Step(nn.Module):
    """f_m of one step: codeword c and reconstruction x^ to the vector that the step adds.

    e = P_in c;  e += W_z e + W_x x^ + b;  L times e += W2 relu(W1 e);  result c + P_out e.
    The concatenating layer of the paper is written as its two halves W_z and W_x: the first is then a function of the
    codeword alone (`head`), the second of the beam alone, and only the residual blocks run once per candidate.
    """

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        dim, width, hidden = config.dim, config.width, config.hidden
        self.enter = nn.Identity() if width == dim else nn.Linear(dim, width, bias=False)
        self.mix_code = nn.Linear(width, width, bias=False)
        self.mix_base = nn.Linear(dim, width)
        self.up = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in range(config.blocks))
        self.down = nn.ModuleList(nn.Linear(hidden, width, bias=False) for _ in range(config.blocks))
        self.leave = nn.Linear(width, dim, bias=False)
        for layer in [self.mix_code, self.mix_base, self.leave, *self.down]:
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        for parameter in self.up.parameters():
            nn.init.kaiming_uniform_(parameter, nonlinearity="relu")

    def head(self, code_XD: Tensor) -> Tensor:
        """The part of the first layer that only the codeword decides, [..., E]; tabulated over a whole codebook."""
        e_XE = self.enter(code_XD)
        return e_XE + self.mix_code(e_XE)

    def tail(self, e_XE: Tensor) -> Tensor:
        """From the mixed embedding to the correction of the codeword, [..., D]."""
        for up, down in zip(self.up, self.down, strict=True):
            e_XE = e_XE + down(F.relu(up(e_XE)))
        return self.leave(e_XE)

    def forward(self, code_BD: Tensor, base_BD: Tensor) -> Tensor:
        """What the step adds to `base_BD` (x^) for the codewords `code_BD`, [B, D]."""
        return code_BD + self.tail(self.head(code_BD) + self.mix_base(base_BD))


class QINCo2(nn.Module):
    """Quantizer of latent vectors z [B, D] into codes [B, M] and back; any prefix of the codes decodes.

    Vectors are normalised inside by a mean per channel and one common scale, both stored with the weights.
    """

    mean_D: Tensor
    scale: Tensor

    def __init__(self, config: QuantizerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean_D", torch.zeros(config.dim))
        self.register_buffer("scale", torch.ones(()))
        spread = config.dim**-0.5
        self.codebook_TKD = nn.Parameter(spread * torch.randn(config.tables, config.entries, config.dim))
        self.gain_S = nn.Parameter(torch.ones(config.codebooks - config.tables))
        self.preselect_TKD = None if config.tied_preselect else nn.Parameter(self.codebook_TKD.detach().clone())
        self.steps = nn.ModuleList(Step(config) for _ in range(config.codebooks - 1))

    def step(self, m: int) -> Step:
        """The network of step m >= 1; step 0 is a plain look-up."""
        network = self.steps[m - 1]
        assert isinstance(network, Step)
        return network

    def _table(self, table_TKD: Tensor, m: int) -> Tensor:
        own = self.config.tables
        return table_TKD[m] if m < own else table_TKD[own - 1] * self.gain_S[m - own]

    def codebook(self, m: int) -> Tensor:
        """Codewords of step m before the network bends them, [K, D], normalised space."""
        return self._table(self.codebook_TKD, m)

    def preselect(self, m: int) -> Tensor:
        """Codewords by which step m picks the candidates that its network then judges, [K, D]."""
        return self.codebook(m) if self.preselect_TKD is None else self._table(self.preselect_TKD, m)

    def normalise(self, z_BD: Tensor) -> Tensor:
        """Latents to the space in which codebooks live: zero mean, common scale."""
        return (z_BD - self.mean_D) / self.scale

    def denormalise(self, x_BD: Tensor) -> Tensor:
        """Inverse of `normalise`."""
        return x_BD * self.scale + self.mean_D

    def trajectory(self, codes_BM: Tensor) -> Iterator[Tensor]:
        """Yield x^ [B, D] after each step, normalised; differentiable (training sums a loss over all prefixes)."""
        xhat_BD = F.embedding(codes_BM[:, 0], self.codebook(0))
        yield xhat_BD
        for m in range(1, codes_BM.shape[1]):
            xhat_BD = xhat_BD + self.step(m)(F.embedding(codes_BM[:, m], self.codebook(m)), xhat_BD)
            yield xhat_BD

    @torch.no_grad()
    def decode(self, codes_BM: Tensor, codebooks: int | None = None) -> Tensor:
        """Codes [B, m] (integers in 0..K-1, any 1 <= m <= M) to z [B, D].

        `codebooks` cuts the codes to their first columns. Raises SpressoError `codes_mismatch` if the codes cannot
        belong to this quantizer.
        """
        steps = self._steps(codebooks)
        if codes_BM.ndim != 2 or not 1 <= codes_BM.shape[1] <= self.config.codebooks:
            raise _mismatch(f"codes of shape {tuple(codes_BM.shape)} do not fit {self.config.codebooks} codebooks")
        if codes_BM.numel() and not 0 <= int(codes_BM.min()) <= int(codes_BM.max()) < self.config.entries:
            raise _mismatch(f"codes reach outside 0..{self.config.entries - 1}")
        (xhat_BD,) = deque(self.trajectory(codes_BM[:, :steps].long()), maxlen=1)
        return self.denormalise(xhat_BD)

    @torch.no_grad()
    def encode(self, z_BD: Tensor, beam: int = 8, candidates: int = 8, codebooks: int | None = None) -> Tensor:
        """Latents z [B, D] to codes [B, M] int64 by beam search.

        Args:
            z_BD: latents, finite.
            beam: R, hypotheses kept per vector; 1 is greedy.
            candidates: A, codewords per hypothesis that the pre-selection hands to the network.
            codebooks: stop after so many steps; the search is then optimal for exactly that prefix.
        """
        if z_BD.ndim != 2 or z_BD.shape[1] != self.config.dim:
            raise _mismatch(f"latents of shape {tuple(z_BD.shape)} do not fit dimension {self.config.dim}")
        if beam < 1 or candidates < 1:
            raise ValueError(f"beam and candidates must be at least 1, got {beam} and {candidates}")
        x_BD = self.normalise(z_BD)
        return self.search(x_BD, beam, candidates, self._steps(codebooks))

    @torch.no_grad()
    def search(self, x_BD: Tensor, beam: int, candidates: int, steps: int) -> Tensor:
        """Beam search on normalised vectors; `encode` without its checks."""
        chunk = max(1, _CHUNK * 64 // (beam * candidates))
        few = x_BD.shape[0] * beam * candidates < self.config.entries
        tables = [_StepTables(self, m, tabulate=not few) for m in range(steps)]
        parts = [_search_chunk(tables, x_bD, beam, candidates) for x_bD in x_BD.split(chunk) if len(x_bD)]
        return torch.cat(parts) if parts else torch.empty(0, steps, dtype=torch.long, device=x_BD.device)

    def _steps(self, codebooks: int | None) -> int:
        steps = self.config.codebooks if codebooks is None else codebooks
        if not 1 <= steps <= self.config.codebooks:
            raise _mismatch(f"{steps} codebooks asked of a quantizer that has {self.config.codebooks}")
        return steps


class _StepTables:
    """What the search needs of a step, computed once per call and shared by all chunks."""

    def __init__(self, model: QINCo2, m: int, *, tabulate: bool) -> None:
        self.codebook_KD = model.codebook(m)
        self.network = model.step(m) if m else None
        # argmin |r - c|^2 = argmax r.c - |c|^2/2
        chooser_KD = model.preselect(m) if m else self.codebook_KD
        self.chooser_DK = chooser_KD.t().contiguous()
        self.penalty_K = -0.5 * chooser_KD.square().sum(1)
        self.head_KE = self.network.head(self.codebook_KD) if self.network is not None and tabulate else None

    def nearest(self, residual_ND: Tensor, count: int) -> Tensor:
        """Indices [N, A] of the codewords nearest to each residual, best first."""
        return top_indices(torch.addmm(self.penalty_K, residual_ND, self.chooser_DK), count)

    def additions(self, index_NA: Tensor, xhat_ND: Tensor) -> Tensor:
        """Vectors [N, A, D] that the candidates would add to each hypothesis."""
        assert self.network is not None
        flat = index_NA.reshape(-1)
        code_XD = self.codebook_KD.index_select(0, flat)
        head_XE = self.network.head(code_XD) if self.head_KE is None else self.head_KE.index_select(0, flat)
        head_NAE = head_XE.view(*index_NA.shape, -1) + self.network.mix_base(xhat_ND).unsqueeze(1)
        return (code_XD + self.network.tail(head_NAE.flatten(0, 1))).view(*index_NA.shape, -1)


def _search_chunk(tables: list[_StepTables], x_BD: Tensor, beam: int, candidates: int) -> Tensor:
    count, dim = x_BD.shape
    entries = tables[0].codebook_KD.shape[0]
    width = 1 if len(tables) == 1 else min(beam, entries)
    first_BR = tables[0].nearest(x_BD, width)
    codes_BRM = first_BR.unsqueeze(2)
    xhat_BRD = tables[0].codebook_KD[first_BR]
    for m, table in enumerate(tables[1:], start=1):
        kept = xhat_BRD.shape[1]
        picks = min(candidates, entries)
        xhat_ND = xhat_BRD.reshape(-1, dim)
        residual_ND = (x_BD.unsqueeze(1) - xhat_BRD).view(-1, dim)
        index_NA = table.nearest(residual_ND, picks)
        added_NAD = table.additions(index_NA, xhat_ND)
        error_BX = (residual_ND.unsqueeze(1) - added_NAD).square_().sum(2).view(count, kept * picks)
        width = 1 if m == len(tables) - 1 else min(beam, kept * picks)
        best_BR = top_indices(error_BX.neg_(), width)
        parent_BR = best_BR // picks
        rows_BR = torch.arange(count, device=x_BD.device).unsqueeze(1)
        chosen_BRD = added_NAD.view(count, kept * picks, dim)[rows_BR, best_BR]
        xhat_BRD = xhat_BRD[rows_BR, parent_BR] + chosen_BRD
        new_BR1 = index_NA.view(count, kept * picks).gather(1, best_BR).unsqueeze(2)
        codes_BRM = torch.cat([codes_BRM[rows_BR, parent_BR], new_BR1], dim=2)
    return codes_BRM[:, 0]


def top_indices(score_NK: Tensor, count: int) -> Tensor:
    """Indices [N, count] of the largest scores of each row, best first: an exact top-k, fast for wide rows.

    A row is cut into interleaved groups; the best `count` scores can only lie in the `count` groups whose maxima are
    largest, and the group maxima are one vectorised pass. Only those groups are then sorted.
    """
    rows, columns = score_NK.shape
    size = 16
    groups = columns // size
    if columns % size or groups <= 2 * count:
        return score_NK.topk(count, dim=1).indices
    grouped_NSG = score_NK.view(rows, size, groups)
    group_NA = grouped_NSG.amax(1).topk(count, dim=1, sorted=False).indices
    offset_S = torch.arange(size, device=score_NK.device) * groups
    column_NX = (group_NA.unsqueeze(2) + offset_S).flatten(1)
    best_NA = score_NK.gather(1, column_NX).topk(count, dim=1).indices
    return column_NX.gather(1, best_NA)


def _mismatch(message: str) -> SpressoError:
    return SpressoError(
        message,
        code="codes_mismatch",
        hint="Decode with the model bundle that made these codes (`spresso codec info` names it)",
    )
