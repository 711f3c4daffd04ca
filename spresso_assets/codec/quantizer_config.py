"""Shape of a QINCo2 quantizer, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QuantizerConfig:
    """Sizes of a QINCo2 quantizer (Vallaeys et al., 2025): `codebooks` steps of `bits` bits each.

    Attributes:
        dim: D, channels of a latent vector z.
        codebooks: M, steps; any prefix of the M codes of a vector is a valid, coarser code.
        bits: log2 of K, the entries of each codebook.
        width: de, channels in which a step's network works.
        hidden: dh, channels inside its residual blocks.
        blocks: L, residual blocks of a step.
        tied_preselect: True shares the pre-selection codebooks with the codebooks themselves (half the weights);
            False trains them apart, as published.
        own_codebooks: steps that have a codebook of their own; every later step re-uses the last of these, scaled by
            a learned gain. None gives every step its own. Residuals of late steps look alike, so with little data
            sharing costs almost nothing in accuracy, generalises better and keeps a 25-step quantizer small.
    """

    dim: int = 64
    codebooks: int = 10
    bits: int = 10
    width: int = 64
    hidden: int = 96
    blocks: int = 2
    tied_preselect: bool = True
    own_codebooks: int | None = None

    def __post_init__(self) -> None:
        if min(self.dim, self.codebooks, self.bits, self.width, self.hidden) < 1 or self.blocks < 0 or self.bits > 16:
            raise ValueError(f"a quantizer needs positive sizes and at most 16 bits, got {self}")
        if self.own_codebooks is not None and not 1 <= self.own_codebooks <= self.codebooks:
            raise ValueError(f"own_codebooks must lie in 1..{self.codebooks}, got {self.own_codebooks}")

    @property
    def entries(self) -> int:
        """K, entries per codebook."""
        return 1 << self.bits

    @property
    def tables(self) -> int:
        """Codebooks that are stored: all M, or the first `own_codebooks` of them."""
        return self.codebooks if self.own_codebooks is None else self.own_codebooks
