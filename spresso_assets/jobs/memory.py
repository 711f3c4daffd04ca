"""Filling memory without spilling it: sounds of similar length together, and half as many when it was too much."""

import sys
from collections.abc import Sequence

from spresso_assets.errors import FaultKind, SpressoError


def fill(sizes: Sequence[float], budget: float) -> list[list[int]]:
    """Group items so that each group fits a budget when all of its members are padded to its largest.

    Args:
        sizes: of the items, in any unit; one above the budget is a group of its own.

    Returns:
        positions by group, smallest items first.
    """
    groups: list[list[int]] = []
    for at in sorted(range(len(sizes)), key=lambda at: sizes[at]):
        if groups and (len(groups[-1]) + 1) * sizes[at] <= budget:
            groups[-1].append(at)
        else:
            groups.append([at])
    return groups


def out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of this machine or of its device."""
    return isinstance(error, MemoryError) or _of_the_device(error)


def memory_fault(error: BaseException) -> SpressoError | None:
    """What an exception says about memory; None if it is about something else."""
    if _of_the_device(error):
        return SpressoError(
            "Not enough memory on the device for this sound alone",
            code="device_out_of_memory",
            hint="Does another program use the device? 'spresso worker --batch-seconds' does not help one sound",
            kind=FaultKind.RETRYABLE,
        )
    if isinstance(error, MemoryError):
        return SpressoError(
            "Not enough memory for this sound",
            code="out_of_memory",
            hint="Close other programs, or run with fewer workers; it will be tried again",
            kind=FaultKind.RETRYABLE,
        )
    return None


def free_device_memory() -> None:
    """Give back what torch keeps for later; nothing where torch or a device is not in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _of_the_device(error: BaseException) -> bool:
    # by its name: torch is not imported to look at an error
    return any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
