"""The few-step student: its teacher until trained, and then the preview of its bundle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spresso_assets.codec.bundle import build_modules, load_bundle, save_bundle
from spresso_assets.codec.codec import SPresso
from spresso_assets.codec.config import PRESETS, StudentConfig
from spresso_assets.codec.student import student_of, trained_student, updates_of
from spresso_assets.codec.transformer import Transformer

TINY = PRESETS["tiny"]
SIGMAS = (5.0, 0.8)


def _denoiser(preset: str = "tiny") -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(PRESETS[preset].transformer)
    for p in transformer.parameters():  # zero-initialised layers would hide a difference
        nn.init.normal_(p, std=0.1)
    return transformer.eval()


@torch.no_grad()
def _answer(transformer: Transformer) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x_BTC, z_BFD = torch.randn(2, 36, 128, generator=generator), torch.randn(2, 9, 64, generator=generator)
    sketch_BTC = transformer.sketch(z_BFD, "25hz", 36)
    return transformer(x_BTC, torch.zeros(2), z_BFD, "25hz", sketch_BTC=sketch_BTC)


@pytest.mark.parametrize("preset", ["tiny", "tiny-full"])
def test_until_it_is_trained_a_student_is_its_teacher(preset: str) -> None:
    teacher = _denoiser(preset)
    torch.testing.assert_close(_answer(student_of(teacher, 3)), _answer(teacher))


@pytest.mark.parametrize("preset", ["tiny", "tiny-full"])
def test_its_updates_alone_make_it_again(preset: str) -> None:
    teacher = _denoiser(preset)
    student = student_of(teacher, 3)
    for name, p in student.named_parameters():
        if name.startswith("lora."):
            nn.init.normal_(p, std=0.3)
    again = trained_student(teacher, updates_of(student.state_dict()))
    torch.testing.assert_close(_answer(again), _answer(student))
    assert not torch.allclose(_answer(again), _answer(teacher), atol=1e-3)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[SPresso, SPresso]:
    """The same denoiser without and with a student."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    modules = build_modules(TINY)
    teacher = _denoiser()
    modules["transformer"] = teacher
    student = student_of(teacher, 2)
    for p in student.lora.parameters():
        nn.init.normal_(p, std=0.5)
    save_bundle(folder / "plain", TINY, modules, {})
    config = dataclasses.replace(TINY, student=StudentConfig(2, SIGMAS, 0.75))
    save_bundle(folder / "taught", config, {**modules, "student": nn.ModuleDict({"lora": student.lora})}, {})
    return load_bundle(folder / "plain"), load_bundle(folder / "taught")


def test_preview_runs_the_student_once_per_level_and_nothing_else_does(
    bundles: tuple[SPresso, SPresso], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, taught = bundles
    assert taught.config.student == StudentConfig(2, SIGMAS, 0.75) and plain.config.student is None
    audio_CN = np.random.default_rng(0).normal(size=(1, 24_000)).astype(np.float32) * 0.1

    calls = {"teacher": 0, "student": 0}
    for name, network in (("teacher", taught.networks.transformer), ("student", taught.networks.student)):

        def counted(_module: nn.Module, _inputs: object, _output: object, name: str = name) -> None:
            calls[name] += 1

        network.register_forward_hook(counted)
    stream = taught.encode(audio_CN, 48_000, "25hz")
    taught.decode(stream, quality="preview")
    assert calls == {"teacher": 0, "student": len(SIGMAS)}
    taught.decode(stream)
    assert calls == {"teacher": 8, "student": len(SIGMAS)}


def test_a_student_changes_only_the_preview(bundles: tuple[SPresso, SPresso]) -> None:
    plain, taught = bundles
    audio_CN = np.random.default_rng(0).normal(size=(1, 24_000)).astype(np.float32) * 0.1

    def decoded(codec: SPresso, quality: str) -> np.ndarray:
        return codec.decode(codec.encode(audio_CN, 48_000, "25hz"), seed=3, quality=quality)[0]

    np.testing.assert_allclose(decoded(taught, "default"), decoded(plain, "default"), atol=1e-5)
    assert np.abs(decoded(taught, "preview") - decoded(plain, "preview")).max() > 1e-3
