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

from spresso_assets.codec.diffusion import power_ema_beta, power_ema_gamma
from spresso_assets.errors import SpressoError
from spresso_assets.training.loop import CHECKPOINT, Loop, LoopConfig, averaged_state, load_checkpoint


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
        first._stop = first.step == 24
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
    original = loop._update_ema

    def spy() -> None:
        seen.append(float(model.weight.detach()))
        original()

    loop._update_ema = spy  # type: ignore[method-assign]
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


def test_kill_at_any_moment_leaves_a_readable_checkpoint(tmp_path: Path) -> None:
    """SIGKILL while checkpoints are written as fast as they can be; then resume."""
    script = textwrap.dedent(
        """
        import sys, torch
        from pathlib import Path
        from torch import nn
        from spresso_assets.training.loop import Loop, LoopConfig
        torch.manual_seed(0)
        m = nn.Linear(300, 300)
        cfg = LoopConfig(max_minutes=60, checkpoint_seconds=0.0, log_steps=1)
        def step(g, f):
            print("step", flush=True)
            return m(torch.randn(8, 300, generator=g)).square().mean(), {}
        Loop({"m": m}, cfg, Path(sys.argv[1]), resume=True).run(step)
        """
    )
    reached = 0
    for round_ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in range(3 + 5 * round_):  # wait for so many steps, then kill between any two instructions
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, header = load_checkpoint(tmp_path / CHECKPOINT)
        assert header["step"] >= reached
        reached = header["step"]
    assert reached > 0
