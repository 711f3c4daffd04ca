"""`spresso models describe`: what a model weighs and computes."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Spresso


def test_a_bundle_is_described_part_by_part(spresso: Spresso, tiny_bundle: Path) -> None:
    data = spresso.ok("--json", "models", "describe", tiny_bundle).data
    assert data["bundle"] == str(tiny_bundle) and data["adapters"] == "shared"
    assert data["total"]["weights"] == sum(part["weights"] for part in data["parts"])
    assert list(data["flop_per_second"]) == ["25hz", "11hz", "5hz", "1hz"]
    at_one = data["flop_per_second"]["1hz"]
    assert at_one["decode"]["paper"] > at_one["decode"]["default"] > at_one["decode"]["preview"] > at_one["evaluation"]


def test_a_preset_is_described_without_weights(spresso: Spresso) -> None:
    lines = spresso.ok("models", "describe", "tiny-full").out.splitlines()
    assert lines[0].startswith("tiny-full: ")
    lora = next(line for line in lines if line.startswith("LoRA"))
    assert lora.count(" M ") + lora.count(" M\n") >= 4  # one for each rate
    assert any(line.startswith("decode --quality paper (127 evaluations)") for line in lines)


def test_a_name_that_is_neither_is_told(spresso: Spresso) -> None:
    result = spresso("models", "describe", "huge")
    assert result.code == 2 and "unknown_preset" in result.err and "full" in result.err
