from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spresso_assets.audio import probe as probe_module
from spresso_assets.audio.broadcast import Bext, build_ixml
from spresso_assets.audio.probe import probe
from spresso_assets.audio.read import read_audio
from spresso_assets.audio.write import write_wav
from spresso_assets.errors import FaultKind, SpressoError
from tests.audio import nasty


def test_each_nasty_file_comes_to_what_it_must(nasty_files: list[nasty.Nasty]) -> None:
    assert len(nasty_files) >= 30
    outcomes = {}
    for entry in nasty_files:
        try:
            found = probe(entry.path)
        except SpressoError as error:
            outcomes[entry.path.name] = error.code
            assert "\n" not in str(error)
            assert error.hint
        else:
            outcomes[entry.path.name] = "ok"
            assert found.frames > 0
            assert np.isfinite(found.loudness_db or 0.0)
    assert outcomes == {entry.path.name: entry.expected for entry in nasty_files}


def test_a_cut_file_can_be_described_on_request(nasty_files: list[nasty.Nasty]) -> None:
    for name in ("cut.wav", "cut.flac"):
        found = probe(next(e.path for e in nasty_files if e.path.name == name), allow_truncated=True)
        assert "truncated" in found.flags
        assert found.frames > 1_000


def _flags(tmp_path: Path, x_NC: np.ndarray, rate: int = 48_000) -> list[str]:
    path = tmp_path / "sound.wav"
    soundfile.write(path, x_NC, rate, "FLOAT")
    return probe(path).flags


def test_flags(tmp_path: Path) -> None:
    t = np.arange(48_000) / 48_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * t)
    assert _flags(tmp_path, tone) == []
    assert _flags(tmp_path, np.clip(4 * tone, -1, 1)) == ["clipped"]
    assert _flags(tmp_path, tone * 2) == []  # touches full scale without staying there
    assert _flags(tmp_path, tone + 0.1) == ["dc_offset"]
    assert _flags(tmp_path, 40 * tone) == ["clipped", "over_full_scale"]
    assert _flags(tmp_path, tone * 1e-6) == ["silent"]
    assert _flags(tmp_path, np.repeat(tone[:, None], 3, axis=1)) == ["multichannel"]
    assert _flags(tmp_path, np.tile(tone[:8_000], 600), 8_000) == []
    assert _flags(tmp_path, np.tile(tone[:8_000], 601), 8_000) == ["long"]


def test_sound_above_24_khz_is_flagged(tmp_path: Path) -> None:
    t = np.arange(96_000) / 96_000
    low, high = 0.5 * np.sin(2 * np.pi * 5_000 * t), 0.01 * np.sin(2 * np.pi * 30_000 * t)
    assert _flags(tmp_path, low, 96_000) == []
    assert _flags(tmp_path, low + high, 96_000) == ["ultrasonic"]


def test_what_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    soundfile.write(path, nasty.tone(96_000, 2), 48_000, "PCM_24")
    found = probe(path)
    assert (found.container, found.subtype, found.bit_depth, found.channel_layout) == ("WAV", "PCM_24", 24, "stereo")
    assert (found.frames, found.duration_s, found.channels, found.sample_rate) == (96_000, 2.0, 2, 48_000)
    assert found.peak_db == pytest.approx(-6.02, abs=0.01)
    pairs = np.frombuffer(found.peaks, np.int8).reshape(-1, 2)
    assert pairs.shape == (512, 2)
    assert (pairs[:, 0] <= -60).all()
    assert (pairs[:, 1] >= 60).all()
    assert set(found.timings) == {"hash_s", "metadata_s", "decode_s", "analyse_s"}


def test_a_record_crosses_process_borders_and_a_json_prints(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_wav(path, np.zeros((1, 100), np.float32), 48_000, bext={"description": "x"})
    found = probe(path)
    assert pickle.loads(pickle.dumps(found.as_record()))["fields"][0] == {
        "field": "description",
        "value": "x",
        "source": "bext",
    }
    assert json.loads(json.dumps(found.as_json()))["raw_chunks"] == [{"id": "bext", "size": 602}]


def test_metadata_of_a_wav_by_source(tmp_path: Path) -> None:
    path = tmp_path / "DOORWood-INT_Heavy-Cellar Door_ABC_LIB01_take2.wav"
    ixml = build_ixml(
        {"NOTE": "roomy", "USER/FXName": "Cellar Door", "ASWG/catId": "DOORWood", "ASWG/library": "Doors"}
    )
    info = b"INFO" + nasty.chunk(b"INAM", b"Door 1\0")
    bext = {"description": "heavy door", "origination_date": "2026-01-02", "time_reference": 48_000}
    write_wav(path, np.zeros((1, 100), np.float32), 48_000, bext=bext, ixml=ixml, extra_chunks=[("LIST", info)])
    found = {(value.source, value.field): value.value for value in probe(path).fields}
    assert found == {
        ("bext", "description"): "heavy door",
        ("bext", "bext_date"): "2026-01-02",
        ("bext", "bext_time_reference"): "48000",
        ("ixml", "notes"): "roomy",
        ("ixml", "fx_name"): "Cellar Door",
        ("aswg", "cat_id"): "DOORWood",
        ("aswg", "library"): "Doors",
        ("info", "title"): "Door 1",
        ("ucs_filename", "cat_id"): "DOORWood",
        ("ucs_filename", "user_category"): "INT",
        ("ucs_filename", "vendor_category"): "Heavy",
        ("ucs_filename", "fx_name"): "Cellar Door",
        ("ucs_filename", "creator_id"): "ABC",
        ("ucs_filename", "source_id"): "LIB01",
        ("ucs_filename", "user_data"): "take2",
    }


def test_chunks_are_kept_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    bext = Bext(description="x", coding_history="A=PCM").to_bytes() + b"odd tail!"
    chunks = [("bext", bext), ("cue ", bytes(28)), ("_PMX", b"<x/>"), ("odd1", b"abc")]
    write_wav(path, np.zeros((1, 101), np.float32), 48_000, "PCM_16", extra_chunks=chunks)
    assert probe(path).raw_chunks == chunks


def test_a_file_that_changes_under_the_reader_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(nasty.encoded("WAV", "PCM_16"))
    read_metadata = probe_module._metadata

    def touching(*args: object) -> object:
        os.utime(path, ns=(1, 1))
        return read_metadata(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(probe_module, "_metadata", touching)
    with pytest.raises(SpressoError) as caught:
        probe(path)
    assert caught.value.code == "changed_while_reading"
    assert caught.value.kind is FaultKind.RETRYABLE


def test_heavy_libraries_stay_out(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(nasty.encoded("WAV", "PCM_16"))
    code = (
        "import sys; from spresso_assets.audio.probe import probe; probe(sys.argv[1]);"
        "print([m for m in ('torch', 'scipy', 'mutagen', 'soxr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_two_hours_need_little_memory(nasty_files: list[nasty.Nasty]) -> None:
    path = next(entry.path for entry in nasty_files if entry.path.name == "two_hours_of_silence.flac")
    code = (
        "import sys; from pathlib import Path; from spresso_assets.audio.probe import probe;"
        "found = probe(sys.argv[1]);"
        # VmHWM and not ru_maxrss: the latter still counts the process that this one was forked from.
        "status = Path('/proc/self/status').read_text(); kilobytes = int(status.split('VmHWM:')[1].split()[0]);"
        "print(found.duration_s, kilobytes // 1024, *found.flags)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    seconds, megabytes, *flags = done.stdout.split()
    assert float(seconds) == 7_200
    assert int(megabytes) < 300
    assert flags == ["long", "silent"]


@pytest.mark.corpus
def test_a_sample_of_the_corpus(corpus: Path) -> None:
    files = sorted(path for path in corpus.rglob("*") if path.is_file() and path.suffix != ".csv")[::40]
    for path in files:
        found = probe(path)
        sound = read_audio(path)
        assert (found.frames, found.channels, found.sample_rate) == (sound.frames, sound.channels, sound.sample_rate)
