"""The choice of sounds is the same everywhere, and a bad file costs only itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spresso_assets.audio.write import write_wav
from spresso_assets.errors import SpressoError
from spresso_assets.evaluation.sounds import choose, read_sounds

SUFFIXES = {"wav"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for n in range(12):
        target = tmp_path / "abc"[n % 3] / f"{n}.wav"
        target.parent.mkdir(exist_ok=True)
        write_wav(target, np.full((1, 800), 0.1, np.float32), 8000, "PCM_16")
    (tmp_path / "a" / "readme.txt").write_text("no sound")
    return tmp_path


def test_fewer_sounds_are_the_first_of_more(folder: Path) -> None:
    every = choose(folder, SUFFIXES)
    assert len(every) == 12 and every != sorted(every)
    assert choose(folder, SUFFIXES, limit=5) == every[:5]
    assert {name[0] for name in every[:6]} == {"a", "b", "c"}


def test_a_manifest_chooses_its_split(folder: Path) -> None:
    (folder / "manifest.csv").write_text("path,split,source\na/0.wav,val,x\nb/1.wav,train,x\nc/2.wav,val,x\n")
    assert set(choose(folder, SUFFIXES)) == {"a/0.wav", "c/2.wav"}
    assert choose(folder, SUFFIXES, "train") == ["b/1.wav"]
    assert len(choose(folder, SUFFIXES, None)) == 12


def test_no_sounds_and_bad_manifests_are_told(folder: Path, tmp_path: Path) -> None:
    for place, split, code in ((folder / "nowhere", "val", "no_sounds"), (folder, "test", "no_sounds")):
        if split == "test":
            (folder / "manifest.csv").write_text("path,split\na/0.wav,val\n")
        with pytest.raises(SpressoError) as caught:
            choose(place, SUFFIXES, split)
        assert caught.value.code == code
    (folder / "manifest.csv").write_text("file,part\na/0.wav,val\n")
    with pytest.raises(SpressoError) as caught:
        choose(folder, SUFFIXES)
    assert caught.value.code == "bad_manifest"


def test_sounds_are_cut_and_unreadable_ones_are_named(folder: Path) -> None:
    (folder / "a" / "0.wav").write_bytes(b"RIFF....")
    told: list[str] = []
    names = ["a/0.wav", "b/1.wav", "c/gone.wav", "c/2.wav"]
    sounds = list(read_sounds(folder, names, 0.05, lambda name, error: told.append(name)))
    assert [name for name, _, _ in sounds] == ["b/1.wav", "c/2.wav"]
    assert told == ["a/0.wav", "c/gone.wav"]
    assert all(audio.shape == (1, 400) and rate == 8000 for _, audio, rate in sounds)
    assert next(read_sounds(folder, ["b/1.wav"], None, lambda *_: None))[1].shape == (1, 800)
