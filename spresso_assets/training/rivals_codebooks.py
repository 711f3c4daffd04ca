"""Codebooks of a residual quantizer as running averages, for the rivals' trainers (SoundStream, section III-C).

An entry is the average of the vectors that chose it, over the last hundred batches or so. The first batch sets all
entries by k-means. An entry that hardly anybody chooses any more starts again at a vector of the batch.

Axes: B batch, T frames, D dimensions, M codebooks, K entries, N vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from spresso_assets.rivals.soundstream.quantizer import ResidualQuantizer, nearest

DECAY = 0.99
DEAD = 2.0  # average number of vectors per batch below which an entry starts again
ITERATIONS = 10


class CodebookLearner:
    """Quantises batches and moves the codebooks after them. Its state belongs into the checkpoint."""

    def __init__(self, quantizer: ResidualQuantizer, *, dead: float = DEAD) -> None:
        self.quantizer, self.dead = quantizer, dead
        entries_MKD = quantizer.entries_MKD
        self.sum_MKD = torch.zeros_like(entries_MKD)
        self.count_MK = torch.zeros_like(entries_MKD[..., 0])
        self.begun = torch.zeros((), dtype=torch.bool)

    def __call__(
        self, z_BDT: Tensor, used_B: Tensor, generator: torch.Generator, *, learn: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Quantise each clip with its first ``used_B`` codebooks.

        Returns:
            What the decoder gets [B, D, T], with the gradient of ``z_BDT``, and the commitment loss: the squared
            distance of what is left to the entry chosen, summed over codebooks, averaged over clips and dimensions.
        """
        batch, dim, frames = z_BDT.shape
        rest_ND = z_BDT.transpose(1, 2).reshape(-1, dim)
        made_ND, loss = torch.zeros_like(rest_ND), rest_ND.new_zeros(())
        used_N = used_B.repeat_interleave(frames)
        first = learn and not bool(self.begun)
        for m in range(len(self.quantizer.entries_MKD)):
            using_N = (used_N > m).to(rest_ND.device)
            if not bool(using_N.any()) and not first:
                break
            part_ND = rest_ND.detach()
            if first:  # the first batch sets all codebooks, also those that dropout leaves out
                self._begin(m, part_ND, generator)
            entries_KD = self.quantizer.entries_MKD[m].clone()
            index_N = nearest(part_ND, entries_KD)
            if learn:
                self._move(m, part_ND[using_N], index_N[using_N], generator)
            chosen_ND = entries_KD[index_N] * (using_N[:, None] | first)
            loss = loss + ((rest_ND - chosen_ND).square() * using_N[:, None]).mean()
            rest_ND = rest_ND - chosen_ND
            made_ND = made_ND + chosen_ND * using_N[:, None]
        self.begun = self.begun | learn
        made_BDT = made_ND.reshape(batch, frames, dim).transpose(1, 2)
        return z_BDT + (made_BDT - z_BDT).detach(), loss

    @torch.no_grad()
    def _begin(self, m: int, x_ND: Tensor, generator: torch.Generator) -> None:
        entries = self.quantizer.entries_MKD.shape[1]
        picked = torch.randint(len(x_ND), (entries,), generator=generator)
        if len(x_ND) >= entries:
            picked = torch.randperm(len(x_ND), generator=generator)[:entries]
        entries_KD = x_ND[picked.to(x_ND.device)].clone()
        for _ in range(ITERATIONS):
            index_N = nearest(x_ND, entries_KD)
            count_K = torch.bincount(index_N, minlength=entries)
            sum_KD = torch.zeros_like(entries_KD).index_add_(0, index_N, x_ND)
            entries_KD = torch.where(count_K[:, None] > 0, sum_KD / count_K.clamp_min(1)[:, None], entries_KD)
        self.quantizer.entries_MKD[m] = entries_KD
        # As if the entries had been chosen often enough so far: whether they are will show.
        self.count_MK[m] = 2 * self.dead
        self.sum_MKD[m] = entries_KD * 2 * self.dead

    @torch.no_grad()
    def _move(self, m: int, x_ND: Tensor, index_N: Tensor, generator: torch.Generator) -> None:
        if not len(x_ND):
            return
        entries = self.quantizer.entries_MKD.shape[1]
        count_K = torch.bincount(index_N, minlength=entries).to(x_ND.dtype)
        sum_KD = torch.zeros_like(self.sum_MKD[m]).index_add_(0, index_N, x_ND)
        self.count_MK[m] = DECAY * self.count_MK[m] + (1 - DECAY) * count_K
        self.sum_MKD[m] = DECAY * self.sum_MKD[m] + (1 - DECAY) * sum_KD
        least = min(self.dead, len(x_ND) / entries / 2)
        dead_K = self.count_MK[m] < least
        if bool(dead_K.any()):
            picked = torch.randint(len(x_ND), (int(dead_K.sum()),), generator=generator).to(x_ND.device)
            # Twice the least, so that a new entry has some seventy batches' time to be chosen.
            self.count_MK[m, dead_K] = 2 * least
            self.sum_MKD[m, dead_K] = x_ND[picked] * 2 * least
        self.quantizer.entries_MKD[m] = self.sum_MKD[m] / self.count_MK[m].clamp_min(1e-6)[:, None]

    # -- state -------------------------------------------------------------------------------------------------
    def state_tensors(self) -> dict[str, Tensor]:
        return {"sum": self.sum_MKD, "count": self.count_MK, "begun": self.begun}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        if tensors:
            self.sum_MKD.copy_(tensors["sum"])
            self.count_MK.copy_(tensors["count"])
            self.begun = tensors["begun"]
