"""Several processes, one training run: what they must agree on, and nothing else.

``torchrun --nproc-per-node 4 --no-python -- spresso train ...`` starts one process per GPU. Each draws other data;
gradients are averaged by hand after the backward pass. DistributedDataParallel would want one module and one forward
pass, but a stage here runs several networks, and ranks that drew different frame rates leave different parameters
without gradient.
"""

from __future__ import annotations

import atexit
import datetime
import os
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from spresso_assets.errors import ExitCode, SpressoError

if TYPE_CHECKING:
    from collections.abc import Iterator

# An evaluation runs on rank 0 alone, and the others wait for it in the next step.
_PATIENCE = datetime.timedelta(hours=2)
_BUCKET = 1 << 24  # gradient elements per message: 64 MB


@dataclass(frozen=True)
class Ranks:
    """This process among ``count`` of them; with one, every method is a no-op."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Rank 0 alone logs, evaluates and writes."""
        return self.rank == 0

    def generator(self, seed: int, step: int) -> torch.Generator:
        """Random numbers of one step: a function of (seed, step, rank), the same in a resumed run."""
        # Of a seed, torch keeps 32 bits. The golden ratio spreads the ranks evenly over them, so that none runs into
        # the numbers of another within millions of steps.
        return torch.Generator().manual_seed((seed * 1_000_003 + step + self.rank * 2_654_435_769) % 2**32)

    @torch.no_grad()
    def same(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the values of rank 0, in place."""
        if self.count > 1:
            with _told():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)

    @torch.no_grad()
    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average gradients over ranks: with equal shares, the gradient of the whole batch's mean loss.

        A parameter that some ranks have no gradient for counts as zero there; one that no rank has a gradient for
        keeps None, so that the optimiser leaves it alone as it would in a single process.
        """
        if self.count == 1:
            return
        params = list(parameters)
        with _told():
            used_P = torch.tensor([float(p.grad is not None) for p in params], device=params[0].device)
            dist.all_reduce(used_P)
            bucket: list[nn.Parameter] = []
            wanted = [p for p, used in zip(params, used_P.tolist(), strict=True) if used]
            for p in wanted:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
            for i, p in enumerate(wanted):
                bucket.append(p)
                full = sum(q.numel() for q in bucket) >= _BUCKET
                if full or i + 1 == len(wanted) or wanted[i + 1].dtype != p.dtype:
                    self._mean(bucket)
                    bucket = []

    def _mean(self, bucket: list[nn.Parameter]) -> None:
        gradients = [p.grad for p in bucket if p.grad is not None]
        flat_K = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat_K)
        flat_K /= self.count
        for g, piece in zip(gradients, flat_K.split([g.numel() for g in gradients]), strict=True):
            g.copy_(piece.view_as(g))

    def agree(self, stop: bool, elapsed: float, loss: Tensor) -> tuple[bool, float, float]:
        """After a step: whether anyone wants to stop, rank 0's clock, and the mean loss.

        The learning rate and the end of the budget follow the clock, so there can be only one.
        """
        if self.count == 1:
            return stop, elapsed, float(loss.detach())
        with _told():
            mine = [float(stop), elapsed if self.leads else 0.0, float(loss.detach()) / self.count]
            facts_3 = torch.tensor(mine, dtype=torch.float64, device=loss.device)
            dist.all_reduce(facts_3)
        stops, clock, mean_loss = facts_3.tolist()
        return stops > 0, clock, mean_loss

    def wait(self) -> None:
        """Return once every rank has come here."""
        if self.count > 1:
            with _told():
                dist.all_reduce(torch.zeros(1))  # on the CPU: a barrier would pick a GPU by itself


def join() -> Ranks:
    """This process's place among those that torchrun started, from its environment; alone without torchrun.

    Raises:
        SpressoError: ``rank_lost`` if the others cannot be reached.
    """
    if dist.is_initialized():
        return Ranks(dist.get_rank(), dist.get_world_size())
    if not _started_together():
        return Ranks()
    with _told():
        # No backend named: gloo between CPUs, and NCCL between GPUs where there are some.
        dist.init_process_group(timeout=_PATIENCE)
    atexit.register(_leave)
    return join()


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def stay_alone(what: str) -> None:
    """For steps that gain nothing from several processes.

    Raises:
        SpressoError: ``one_process`` under torchrun.
    """
    if _started_together():
        raise SpressoError(
            f"{what} runs in one process",
            code="one_process",
            hint="Start it without torchrun.",
            exit_code=ExitCode.USAGE,
        )


def _started_together() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(device: str) -> str:
    """``cuda`` as the GPU of this process: torchrun numbers those of a machine by LOCAL_RANK.

    Raises:
        SpressoError: ``no_such_device``.
    """
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as e:  # AssertionError: torch without CUDA
        raise SpressoError(
            f"cannot use device '{device}': {str(e).splitlines()[0]}",
            code="no_such_device",
            hint="cpu always works; with torchrun, start no more processes than there are GPUs.",
            exit_code=ExitCode.USAGE,
        ) from e
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return device


@contextmanager
def _told() -> Iterator[None]:
    """A process that dies leaves the others a transport error: say what it means."""
    try:
        yield
    except (dist.DistError, RuntimeError, ValueError) as e:
        raise SpressoError(
            f"lost the other processes of this run: {str(e).splitlines()[0]}",
            code="rank_lost",
            hint="See their output; start all of them again with --resume.",
        ) from e
