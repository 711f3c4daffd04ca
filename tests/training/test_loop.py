"""The training loop: budgets, schedules, and checkpoints that a kill cannot spoil."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from spresso_assets.errors import SpressoError
from spresso_assets.training.checkpoint import BEST, CHECKPOINT, averaged_state, load_checkpoint
from spresso_assets.training.ema import power_ema_beta, power_ema_gamma
from spresso_assets.training.journal import LOG
from spresso_assets.training.loop import Loop, LoopConfig


def _problem() -> tuple[nn.Linear, object]:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    target = torch.tensor([[1.0, -2.0, 0.5, 3.0]])

    def step(generator: torch.Generator, _fraction: float) -> tuple[torch.Tensor, dict[str, float]]:
        x = torch.randn(32, 4, generator=generator)
        return (model(x) - x @ target.T).square().mean(), {"size": 32.0}

    return model, step


def _config(steps: int, **changes: object) -> LoopConfig:
    return LoopConfig(max_minutes=60, max_steps=steps, lr=0.05, warmup_steps=1, log_steps=10, **changes)  # type: ignore[arg-type]


def test_learns_and_logs(tmp_path: Path) -> None:
    model, step = _problem()
    result = Loop({"m": model}, _config(200), tmp_path).run(step, lambda: {"weight": float(model.weight[0, 3])})  # type: ignore[arg-type]
    assert result["weight"] == pytest.approx(3, abs=0.1)
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [r["loss"] for r in records if "loss" in r]
    assert losses[-1] < 0.05 * losses[0] and "eval" in records[-1]


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Same seed, same schedule position, same averages: where the kill fell leaves no trace."""
    model, step = _problem()
    Loop({"m": model}, _config(60), tmp_path / "whole").run(step)  # type: ignore[arg-type]
    model, step = _problem()
    first = Loop({"m": model}, _config(60), tmp_path / "parts")
    inner = step

    def stopping(generator: torch.Generator, fraction: float) -> tuple[torch.Tensor, dict[str, float]]:
        if first.step == 24:
            first.stop()
        return inner(generator, fraction)  # type: ignore[operator]

    with pytest.raises(SpressoError, match="saved"):
        first.run(stopping)
    model, step = _problem()
    second = Loop({"m": model}, _config(60), tmp_path / "parts", resume=True)
    assert second.step == 25
    second.run(step)  # type: ignore[arg-type]
    whole, _ = load_checkpoint(tmp_path / "whole" / CHECKPOINT)
    parts, _ = load_checkpoint(tmp_path / "parts" / CHECKPOINT)
    assert whole.keys() == parts.keys()
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, msg=key)


def test_averaged_weights_follow_the_power_profile(tmp_path: Path) -> None:
    model = nn.Linear(1, 1, bias=False)
    seen: list[float] = []

    def step(_g: torch.Generator, _f: float) -> tuple[torch.Tensor, dict[str, float]]:
        return -model.weight.sum(), {}

    loop = Loop({"m": model}, _config(30, ema_rel=0.1), tmp_path)
    original = loop.ema.update

    def spy(step: int) -> None:
        seen.append(float(model.weight.detach()))
        original(step)

    loop.ema.update = spy  # type: ignore[method-assign]
    loop.run(step)
    gamma, average = power_ema_gamma(0.1), 0.0
    for i, w in enumerate(seen, start=1):
        beta = power_ema_beta(i, gamma)
        average = beta * average + (1 - beta) * w
    assert float(averaged_state(tmp_path / CHECKPOINT, "m")["weight"]) == pytest.approx(average, rel=1e-5)


def test_a_run_is_never_overwritten_by_accident(tmp_path: Path) -> None:
    model, step = _problem()
    Loop({"m": model}, _config(3), tmp_path).run(step)  # type: ignore[arg-type]
    with pytest.raises(SpressoError) as caught:
        Loop({"m": model}, _config(3), tmp_path)
    assert caught.value.code == "run_exists" and "--resume" in caught.value.hint


def test_damaged_or_missing_checkpoints_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        load_checkpoint(tmp_path / CHECKPOINT)
    assert caught.value.code == "checkpoint_missing"
    for content in (b"", b"\x10\0\0\0\0\0\0\0{}", os.urandom(1000)):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(SpressoError) as caught:
            load_checkpoint(tmp_path / CHECKPOINT)
        assert caught.value.code == "checkpoint_corrupt"


KILLED = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    import torch
    from torch import nn
    from spresso_assets.training.loop import Loop, LoopConfig

    def train(folder):
        torch.manual_seed(0)
        m = nn.Sequential(nn.Linear(50, 50), nn.BatchNorm1d(50))
        cfg = LoopConfig(max_minutes=600, max_steps=40, checkpoint_seconds=0, eval_seconds=0, log_steps=1)
        def step(g, f):
            print("step", flush=True)
            return (m(torch.randn(8, 50, generator=g)) - 1).square().mean(), {}
        loop = Loop({"m": m}, cfg, folder, resume=True, best_by="norm")
        loop.run(step, lambda: {"norm": float(m[0].weight.norm())})

    for line in sys.stdin:  # a child per line: importing torch once is enough
        child = os.fork()
        if not child:
            train(Path(line.strip()))
            os._exit(0)
        print(child, flush=True)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """
)


def test_killed_at_any_moment_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL while checkpoints, logs and best weights are written after every step, again and again."""
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        assert nursery.stdin is not None and nursery.stdout is not None

        def train(folder: str, kill_after: int | None = None) -> list[str]:
            """Runs a child to its end, or kills it between any two instructions after so many steps."""
            nursery.stdin.write(f"{tmp_path / folder}\n")
            nursery.stdin.flush()
            child, lines = int(nursery.stdout.readline()), []
            while not lines or not lines[-1].startswith("ended"):
                lines.append(nursery.stdout.readline())
                if len(lines) == kill_after:
                    os.kill(child, signal.SIGKILL)
            return lines

        assert train("whole")[-1] == "ended 0\n"
        for steps in (1, 4, 6, 9):
            assert train("parts", kill_after=steps)[-1] == f"ended {-signal.SIGKILL}\n"
        rest = train("parts")
        assert rest[-1] == "ended 0\n" and len(rest) < 40  # it did continue
    for name in (CHECKPOINT, BEST):
        expected, found = (load_checkpoint(tmp_path / folder / name)[0] for folder in ("whole", "parts"))
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert torch.equal(found[key], value), (name, key)
    told = [json.loads(line) for line in (tmp_path / "parts" / LOG).read_text().splitlines()]
    assert [t["step"] for t in told if "loss" in t] == list(range(1, 41))  # no step twice, none missing


def test_best_weights_are_those_of_the_lowest_evaluation(tmp_path: Path) -> None:
    """The averaged weights, buffers included, of the evaluation whose named value was least; the last ones go on."""
    model, step = _problem()
    values = iter([3.0, 1.0, 2.0, 5.0])
    seen: list[torch.Tensor] = []

    def evaluate() -> dict[str, float]:
        seen.append(model.weight.detach().clone())
        return {"other": 0.0, "error": next(values)}

    loop = Loop({"m": model}, _config(3, eval_seconds=0.0), tmp_path, best_by="error")
    loop.run(step, evaluate)  # type: ignore[arg-type]
    best, header = load_checkpoint(tmp_path / BEST)
    assert header == {"step": 2, "measure": "error", "value": 1.0}
    assert torch.equal(best["model.m.weight"], seen[1]) and not torch.equal(seen[1], seen[3])


def test_curves_and_sounds_reach_tensorboard(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model, step = _problem()
    loop = Loop({"m": model}, _config(20), tmp_path)

    def evaluate() -> dict[str, float]:
        loop.sound("decoded", 3 * torch.ones(480), 48_000)
        return {"weight": 2.5}

    loop.run(step, evaluate)  # type: ignore[arg-type]
    board = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"loss", "lr", "eval/weight"} <= set(board.Tags()["scalars"]) and board.Tags()["audio"] == ["decoded"]
    assert [s.step for s in board.Scalars("loss")] == [10, 20]


def test_without_tensorboard_there_is_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    model, step = _problem()
    Loop({"m": model}, _config(10), tmp_path).run(step)  # type: ignore[arg-type]
    assert (tmp_path / LOG).exists() and not (tmp_path / "tensorboard").exists()
