"""`spresso train fit`: a bundle goes on from where it stands, resumes, and is compared on sounds it was not shown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from spresso_assets.audio.procedural import CATALOGUE, synthesise
from spresso_assets.audio.write import write_wav
from spresso_assets.cli.main import main
from spresso_assets.codec.bundle import build_modules, load_bundle, read_config, save_bundle
from spresso_assets.codec.config import PRESETS, StudentConfig
from spresso_assets.codec.student import student_of
from spresso_assets.errors import SpressoError
from spresso_assets.training.assemble import assemble
from spresso_assets.training.checkpoint import CHECKPOINT, load_checkpoint
from spresso_assets.training.fit import FitConfig, fit
from spresso_assets.training.quantizer import QuantizerTrainingConfig
from spresso_assets.training.source import Source, bundle_state, write_statistics

SMALL = dataclasses.replace(
    PRESETS["tiny"],
    quantizers={"25hz": dataclasses.replace(PRESETS["tiny"].quantizers["25hz"], codebooks=2, bits=4)},
    student=StudentConfig(2, (5.0, 0.7), 0.75),
)
QUICK = FitConfig(procedural=2, crops_budget=300, quantizer=QuantizerTrainingConfig(vectors=400))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with one quantizer and a student."""
    torch.manual_seed(0)
    modules = build_modules(SMALL)
    autoencoder = modules["autoencoder"]
    autoencoder.mean_C.fill_(-5.0)
    autoencoder.std_C.fill_(2.0)
    student = student_of(modules["transformer"], 2)  # type: ignore[arg-type]
    folder = tmp_path_factory.mktemp("fit") / "base"
    save_bundle(folder, SMALL, {**modules, "student": torch.nn.ModuleDict({"lora": student.lora})}, {})
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    names = sorted(CATALOGUE)
    rows = ["path,split"]
    for i in range(23):
        write_wav(folder / f"{i}.wav", synthesise(names[i % len(names)], i, 0.6), 48_000)
        rows.append(f"{i}.wav,{'val' if i >= 21 else 'train'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_fit_trains_all_parts_on_the_bases_ground_and_resumes(base: Path, archive: Path, tmp_path: Path) -> None:
    before = load_bundle(base)
    told: list[str] = []
    source = Source(tmp_path / "run", base)

    def go() -> None:
        fit(SMALL, archive, source, 5, QUICK, autoencoder=before.networks.autoencoder, max_steps=2, tell=told.append)

    write_statistics(base, tmp_path / "run" / "data")  # as an analysis leaves behind that was killed in the middle
    go()
    stages = ("adapter", "finetune", "distill")
    steps = {s: load_checkpoint(tmp_path / "run" / s / CHECKPOINT)[1]["step"] for s in stages}
    assert steps == dict.fromkeys(stages, 2)
    go()  # done already: nothing is trained twice
    assert {s: load_checkpoint(tmp_path / "run" / s / CHECKPOINT)[1]["step"] for s in stages} == steps
    assert told.count("analysing the archive") == 1

    assemble(SMALL, tmp_path / "run", tmp_path / "out", base=base)
    after = load_bundle(tmp_path / "out")
    assert read_config(tmp_path / "out")[1]["base"]["weights_sha256"] == before.weights_sha256
    torch.testing.assert_close(after.networks.autoencoder.mean_C, before.networks.autoencoder.mean_C)
    tuned = Source(tmp_path / "run", base)
    for module in ("transformer", "encoder"):  # in float32: two steps vanish in a bundle's float16
        state, old = tuned.state(module, "adapter"), bundle_state(base, module)
        assert any(not torch.equal(state[k], old[k]) for k in old), module
    assert after.networks.student_updates and after.config.student


def test_fit_needs_an_archive_to_learn_from(base: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    write_wav(few / "one.wav", synthesise("door", 1, 0.5), 48_000)
    with pytest.raises(SpressoError) as caught:
        fit(
            SMALL,
            few,
            Source(tmp_path / "run", base),
            1,
            dataclasses.replace(QUICK, procedural=0),
            autoencoder=load_bundle(base).networks.autoencoder,
        )
    assert caught.value.code == "archive_too_small"


def test_the_verb_reports_both_sides(
    base: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "fit.toml"
    config.write_text("[fit]\nprocedural = 2\ncrops_budget = 300\n[fit.quantizer]\nvectors = 400\n")
    run = tmp_path / "run"
    arguments = [
        "--json", "train", "fit", str(archive), str(tmp_path / "out"), "--base", str(base), "--run", str(run),
        "--max-minutes", "0.02", "--profiles", "25hz", "--config", str(config), "--limit", "2",
    ]  # fmt: skip
    assert main(arguments) == 0, capsys.readouterr().err
    report = json.loads((run / "fit-report.json").read_text())
    assert report["sounds"] == 2
    (entry,) = report["profiles"]
    assert entry["profile"] == "25hz" and entry["before"]["mel_distance"] > 0 and entry["after"]["mel_distance"] > 0
    assert report["weights_sha256"] == load_bundle(tmp_path / "out").weights_sha256
