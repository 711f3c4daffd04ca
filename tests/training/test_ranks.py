"""Two processes train as one: the same gradient as a single process with both shares, one clock, one stop."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint
from spresso_assets.training.loop import Loop, LoopConfig
from spresso_assets.training.ranks import Ranks, own_device

CONFIG = LoopConfig(max_minutes=600, max_steps=12, lr=0.05, warmup_steps=1, log_steps=4, weight_decay=0.1)


class Model(nn.Module):
    """``often`` learns from both shares, ``sometimes`` only from odd ones, ``never`` from none."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.often, self.sometimes, self.never = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(4))

    def loss(self, step: int, share: int) -> Tensor:
        x_B4 = torch.randn(8, 4, generator=torch.Generator().manual_seed(100 * step + share))
        if share == 0:
            self.mean.lerp_(x_B4.mean(0), 0.1)
        h_B4 = self.often(x_B4)
        return (h_B4 - 1).square().mean() + (self.sometimes(h_B4).square().mean() if share else 0)


SCRIPT = textwrap.dedent(
    """
    import json, os, socket, sys
    from pathlib import Path
    import torch
    from spresso_assets.errors import SpressoError
    from spresso_assets.training.loop import Loop
    from tests.training.test_ranks import CONFIG, Model

    out = Path(sys.argv[1])

    def train(folder, stop_at=None, resume=False):
        model = Model()
        loop = Loop({"m": model}, CONFIG, out / folder, resume=resume)
        draws = []
        def step(generator, fraction):
            draws.append(float(torch.rand(1, generator=generator)))
            if stop_at == loop.step and loop.ranks.rank == 1:
                loop.stop()
            return model.loss(loop.step, loop.ranks.rank), {}
        code, evaluated = "done", {}
        try:
            evaluated = loop.run(step, lambda: {"rank": float(loop.ranks.rank)})
        except SpressoError as e:
            code = e.code
        weights = {n: t.tolist() for n, t in model.state_dict().items()}
        return {"rank": loop.ranks.rank, "step": loop.step, "code": code, "draws": draws, "evaluated": evaluated,
                "elapsed": loop.elapsed, "weights": weights}

    # What torchrun would start and tell them; a fork saves the time to import torch again.
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    other = os.fork()
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if other else "1"
    facts = {"whole": train("whole"), "stopped": train("parts", stop_at=5), "resumed": train("parts", resume=True)}
    (out / f"rank{facts['whole']['rank']}.json").write_text(json.dumps(facts))
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
    """
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The run folder of two processes, and what each of them saw."""
    out = tmp_path_factory.mktemp("pair")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(out)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, [json.loads((out / f"rank{r}.json").read_text()) for r in (0, 1)]


def test_two_processes_take_the_steps_of_one_with_both_shares(pair: tuple[Path, list[dict]], tmp_path: Path) -> None:
    _, ranks = pair
    model = Model()
    loop = Loop({"m": model}, CONFIG, tmp_path)
    loop.run(lambda _g, _f: (0.5 * (model.loss(loop.step, 0) + model.loss(loop.step, 1)), {}))
    for facts in ranks:
        for name, expected in model.state_dict().items():
            torch.testing.assert_close(torch.tensor(facts["whole"]["weights"][name]), expected, msg=name)
    fresh = Model()
    assert torch.equal(model.never.weight, fresh.never.weight)  # no gradient anywhere: not even weight decay
    assert not torch.equal(model.sometimes.weight, fresh.sometimes.weight)


def test_each_rank_draws_its_own_numbers_and_one_clock_counts(pair: tuple[Path, list[dict]]) -> None:
    _, (first, second) = pair
    assert not set(first["whole"]["draws"]) & set(second["whole"]["draws"])
    assert first["whole"]["elapsed"] == second["whole"]["elapsed"] > 0
    assert first["whole"]["evaluated"] == {"rank": 0.0} and second["whole"]["evaluated"] == {}


def test_a_stop_of_one_rank_ends_all_at_the_same_step_and_resuming_leaves_no_trace(
    pair: tuple[Path, list[dict]],
) -> None:
    out, ranks = pair
    for facts in ranks:
        assert facts["stopped"]["code"] == "interrupted" and facts["stopped"]["step"] == 6
        assert facts["resumed"]["weights"] == facts["whole"]["weights"]
        assert facts["resumed"]["draws"] == facts["whole"]["draws"][6:]
    whole, parts = (load_checkpoint(out / name / CHECKPOINT)[0] for name in ("whole", "parts"))
    assert all(torch.equal(parts[k], v) for k, v in whole.items())


def test_log_has_one_line_per_interval_with_the_mean_loss(pair: tuple[Path, list[dict]]) -> None:
    out, _ = pair
    told = [json.loads(line) for line in (out / "whole" / "log.jsonl").read_text().splitlines()]
    assert [t["step"] for t in told] == [4, 8, 12, 12]


def test_random_numbers_of_ranks_and_steps_do_not_meet() -> None:
    seeds = {Ranks(r, 64).generator(0, step).initial_seed() for r in range(64) for step in range(0, 10**6, 1009)}
    assert len(seeds) == 64 * 992 and all(seed < 2**32 for seed in seeds)
    assert Ranks(0, 1).generator(2, 5).initial_seed() == 2 * 1_000_003 + 5


def test_a_device_that_is_not_there_is_a_clear_error() -> None:
    assert own_device("cpu") == "cpu"
    for device in ("cuda:97", "toaster"):
        with pytest.raises(SpressoError) as caught:
            own_device(device)
        assert caught.value.code == "no_such_device"
