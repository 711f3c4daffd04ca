"""Where networks may run in 16 bits."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """bfloat16 pays only where the hardware multiplies it: GPUs since Ampere, CPUs with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
