"""What nobody should hand to the codec costs one clear error or is coded as it is; nothing is half-written."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from spresso_assets.audio.write import write_wav
from spresso_assets.cli.main import main
from spresso_assets.codec import bitstream
from spresso_assets.codec.bundle import CONFIG, WEIGHTS, load_bundle, read_config, weights_hash
from spresso_assets.codec.codec import SPresso
from spresso_assets.errors import ExitCode, SpressoError

RATE = 48_000


@pytest.fixture(scope="module")
def codec(tiny_bundle: Path) -> SPresso:
    return SPresso.load(tiny_bundle)


@pytest.fixture(scope="module")
def stream(codec: SPresso) -> bytes:
    return codec.encode(noise(), RATE, "0.096kbps")


def noise(samples: int = 4800, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal((channels, samples))).astype(np.float32)


def code_of(call: Callable[..., object], *args: object) -> str:
    """The code of the error that a call ends with; it has to be one line."""
    with pytest.raises(SpressoError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return caught.value.code


# --- sounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["mono", "dual", "parametric"])
@pytest.mark.parametrize(
    ("audio_CN", "rate"),
    [
        (noise(0), RATE),
        (noise(1, 2), RATE),
        (noise(2), 8000),
        (noise(1900, 2), 192_000),
        (noise(500, 6), 8000),
        (noise(100, 64), RATE),
        (np.full((2, 3000), 1e-41, np.float32), RATE),
        (noise(1000, 2).astype(np.float64), 44_100),
        (noise(1000, 2) * 2000, RATE),
        (np.full((1, 1000), -1.0, np.float32), RATE),
        (np.asfortranarray(noise(1000, 3)), RATE),
    ],
    ids=["empty", "one", "two", "192k", "six", "64ch", "denormal", "float64", "loud", "dc", "transposed"],
)
def test_odd_sounds_come_back_with_their_length_and_rate(
    codec: SPresso, audio_CN: np.ndarray, rate: int, mode: str
) -> None:
    decoded_CN, got = codec.decode(codec.encode(audio_CN, rate, "0.096kbps", mode), steps=1)
    assert decoded_CN.shape == audio_CN.shape and got == rate
    assert decoded_CN.dtype == np.float32 and np.isfinite(decoded_CN).all()


@pytest.mark.parametrize(
    ("audio", "rate", "code"),
    [
        (np.full((1, 100), np.nan, np.float32), RATE, "nonfinite_samples"),
        (np.array([[0.1, -np.inf]], np.float32), RATE, "nonfinite_samples"),
        (np.full((1, 100), 1e300), RATE, "too_loud"),
        (np.full((2, 100), 3e38, np.float32), RATE, "too_loud"),
        (np.full((1, 100), 12_000, np.int16), RATE, "bad_samples"),
        (np.full((1, 100), 1j), RATE, "bad_samples"),
        (np.array([["a", "b"]]), RATE, "bad_samples"),
        (np.zeros(100, np.float32), RATE, "bad_shape"),
        (np.zeros((0, 100), np.float32), RATE, "bad_shape"),
        (np.zeros((1, 1, 100), np.float32), RATE, "bad_shape"),
        (np.float32(0), RATE, "bad_shape"),
        (np.zeros((65, 100), np.float32), RATE, "too_many_channels"),
        (noise(100), 0, "bad_sample_rate"),
        (noise(100), -RATE, "bad_sample_rate"),
        (noise(100), 10**9, "bad_sample_rate"),
        (noise(100), 44_100.5, "bad_sample_rate"),
    ],
)
def test_what_is_no_sound_is_refused(codec: SPresso, audio: Any, rate: Any, code: str) -> None:
    for mode in ("mono", "parametric"):
        assert code_of(codec.encode, audio, rate, "1hz", mode) == code


def test_a_sound_without_an_end_is_refused(codec: SPresso) -> None:
    def endless() -> Any:
        while True:
            yield np.zeros((1, 1_000_000), np.float32)

    assert code_of(codec.encode_stream, endless, 100, "1hz") == "too_long"


@pytest.mark.parametrize(
    ("point", "mode", "code"),
    [("9kbps", "mono", "unknown_point"), ("", "mono", "unknown_point"), ("1hz", "quad", "unknown_channel_mode")],
)
def test_unknown_ways_to_encode_are_usage_errors(codec: SPresso, point: str, mode: str, code: str) -> None:
    with pytest.raises(SpressoError, match=code) as caught:
        codec.encode(noise(), RATE, point, mode)
    assert caught.value.exit_code == ExitCode.USAGE and caught.value.hint


# --- streams --------------------------------------------------------------------------------------------------------


def test_seeds_of_any_size_are_variations(codec: SPresso, stream: bytes) -> None:
    sounds = [codec.decode(stream, seed=seed, steps=1)[0] for seed in (0, -1, 2**64 - 1, 10**30)]
    np.testing.assert_array_equal(sounds[1], sounds[2])
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-6 and np.abs(sounds[3] - sounds[1]).max() > 1e-6


@pytest.mark.parametrize(
    ("how", "code"),
    [({"steps": 0}, "bad_steps"), ({"steps": 10**9}, "bad_steps"), ({"quality": "hd"}, "unknown_quality")],
)
def test_impossible_ways_to_decode_are_usage_errors(
    codec: SPresso, stream: bytes, how: dict[str, Any], code: str
) -> None:
    for call in (codec.decode, codec.decode_stream):
        with pytest.raises(SpressoError, match=code) as caught:
            call(stream, **how)
        assert caught.value.exit_code == ExitCode.USAGE and caught.value.hint


def test_every_flipped_bit_and_every_cut_is_found(codec: SPresso, stream: bytes) -> None:
    for at in range(len(stream)):
        for bit in range(8):
            flipped = bytes([*stream[:at], stream[at] ^ 1 << bit, *stream[at + 1 :]])
            code = code_of(codec.decode, flipped)
            assert code in {"not_spr", "spr_version", "spr_truncated", "spr_corrupt"}, (at, bit, code)
        assert code_of(codec.decode, stream[:at]) == ("spr_truncated" if at else "not_spr")
    assert code_of(codec.decode, stream + b"\0") == "spr_corrupt"


def test_foreign_files_and_newer_formats_are_named(codec: SPresso, stream: bytes) -> None:
    assert code_of(codec.decode, b"RIFF\x24\0\0\0WAVEfmt ") == "not_spr"
    assert code_of(codec.decode, stream[:3] + b"\x07" + stream[4:]) == "spr_version"


def test_streams_that_the_model_cannot_have_made_are_refused(codec: SPresso) -> None:
    header = bitstream.SprHeader(codec.model_id, 100, None, None, RATE, RATE, dim=8)
    assert code_of(codec.decode, bitstream.pack(header, np.zeros((1, 8)))) == "codes_mismatch"
    wide = replace(header, codebooks=31, bits=16, dim=None)
    for codes in (np.zeros((1, 31), int), np.full((1, 31), 60_000)):
        assert code_of(codec.decode, bitstream.pack(wide, codes)) == "codes_mismatch"
    other = replace(header, model_id="0a0b0c")
    assert code_of(codec.decode, bitstream.pack(other, np.zeros((1, 8)))) == "wrong_model"


# --- bundles --------------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of this test, to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def edit_config(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((bundle / CONFIG).read_text())
    edit(data)
    (bundle / CONFIG).write_text(json.dumps(data))


def edit_weights(bundle: Path, edit: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change tensors and record the new hash, so that only what is in them is wrong."""
    tensors = load_file(bundle / WEIGHTS)
    edit(tensors)
    save_file(tensors, bundle / WEIGHTS)
    edit_config(bundle, lambda data: data.update(weights_sha256=weights_hash(bundle)))


def some_key(tensors: dict[str, np.ndarray]) -> str:
    return next(key for key, value in tensors.items() if key.startswith("transformer.") and value.ndim == 2)


def _poison(tensors: dict[str, np.ndarray]) -> None:
    tensors[some_key(tensors)][0, 0] = np.nan


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop(some_key(tensors)),
        lambda tensors: tensors.update({"transformer.wing": np.zeros(2, np.float16)}),
        lambda tensors: tensors.update({"wing.flap": np.zeros(2, np.float16)}),
        lambda tensors: tensors.update({some_key(tensors): np.zeros((3, 3), np.float16)}),
        _poison,
    ],
    ids=["missing", "extra", "foreign", "misshapen", "nan"],
)
def test_weights_that_do_not_fit_are_refused(bundle: Path, edit: Callable[[dict[str, np.ndarray]], object]) -> None:
    edit_weights(bundle, edit)
    with pytest.raises(SpressoError, match="bundle_corrupt") as caught:
        load_bundle(bundle)
    assert caught.value.exit_code == ExitCode.MODEL_MISSING and caught.value.hint
    assert "transformer" in str(caught.value) or "wing" in str(caught.value) or "weight" in str(caught.value)


def test_a_file_that_is_cut_short_or_no_safetensors_is_refused(bundle: Path) -> None:
    whole = (bundle / WEIGHTS).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:5], b"", b"\xff" * 100):
        (bundle / WEIGHTS).write_bytes(damaged)
        assert code_of(load_bundle, bundle) == "weights_mismatch"
        edit_config(bundle, lambda data: data.update(weights_sha256=weights_hash(bundle)))
        assert code_of(load_bundle, bundle) == "bundle_corrupt"


def test_missing_files_are_named(bundle: Path) -> None:
    (bundle / CONFIG).rename(bundle / "aside")
    assert code_of(load_bundle, bundle) == "bundle_corrupt"
    (bundle / "aside").rename(bundle / CONFIG)
    (bundle / WEIGHTS).unlink()
    assert code_of(load_bundle, bundle) == "model_missing"
    (bundle / WEIGHTS).mkdir()
    assert code_of(load_bundle, bundle) == "model_missing"


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "\x00", '{"model": 3, "weights_sha256": ""}', "[" * 100_000, '{"model": {}}']
)
def test_what_is_no_description_is_refused(bundle: Path, text: str) -> None:
    (bundle / CONFIG).write_text(text)
    assert code_of(read_config, bundle) == "bundle_corrupt"


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data["model"]["transformer"].update(wings=2),
        lambda data: data["model"].pop("autoencoder"),
        lambda data: data["model"]["transformer"].update(dim="wide"),
        lambda data: data["model"]["transformer"].update(dim=-4),
        lambda data: data["model"]["transformer"].update(head_dim=0),
        lambda data: data["model"]["autoencoder"].update(encoder="magic"),
        lambda data: data["model"].update(quantizers=7),
        lambda data: data.pop("weights_sha256"),
    ],
    ids=["newer", "lacking", "text", "negative", "zero", "unknown", "number", "hashless"],
)
def test_descriptions_of_other_releases_are_refused(bundle: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    edit_config(bundle, edit)
    assert code_of(load_bundle, bundle) == "bundle_corrupt"


def test_loading_draws_no_random_numbers(tiny_bundle: Path) -> None:
    import torch

    before = torch.random.get_rng_state()
    load_bundle(tiny_bundle)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def spresso(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `spresso codec ...`: its exit code, and the one line that it tells if it fails, from the code on."""

    def run(*args: object, bundle: Path = tiny_bundle) -> tuple[int, str]:
        capsys.readouterr()
        exit_code = main(["--bundle", str(bundle), "codec", *map(str, args)])
        told = capsys.readouterr().err.strip()
        assert "Traceback" not in told
        assert exit_code == 0 or (told and "\n" not in told), told
        return int(exit_code), told.partition(": ")[2]

    return run


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    write_wav(tmp_path / "in.wav", noise(4800, 2), RATE, "PCM_16")
    return tmp_path / "in.wav"


def left_behind(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()} - {"in.wav", "good.spr"}


def test_bad_files_and_arguments_cost_one_line(
    spresso: Callable[..., tuple[int, str]], sound: Path, stream: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "out.spr"
    floats = noise(100)
    floats[0, :90] = np.nan
    soundfile.write(tmp_path / "nan.wav", floats[0], RATE, subtype="FLOAT")
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "cut.spr").write_bytes(stream[:-3])
    (tmp_path / "newer.spr").write_bytes(stream[:3] + b"\x09" + stream[4:])
    (tmp_path / "empty.spr").touch()
    for args, exit_code, code in (
        (("encode", sound, out, "--profile", "9kbps"), ExitCode.USAGE, "unknown_point"),
        (("encode", sound, out, "--channels", "quad"), ExitCode.USAGE, "unknown_channel_mode"),
        (("encode", tmp_path / "none.wav", out), ExitCode.FAILED, "file_missing"),
        (("encode", tmp_path / "nan.wav", out), ExitCode.FAILED, "nonfinite_samples"),
        (("encode", tmp_path / "text.wav", out), ExitCode.FAILED, ""),
        (("decode", tmp_path / "cut.spr", tmp_path / "out.wav"), ExitCode.FAILED, "spr_truncated"),
        (("decode", tmp_path / "newer.spr", tmp_path / "out.wav"), ExitCode.FAILED, "spr_version"),
        (("decode", tmp_path / "empty.spr", tmp_path / "out.wav"), ExitCode.FAILED, "not_spr"),
        (("decode", sound, tmp_path / "out.wav"), ExitCode.FAILED, "not_spr"),
        (("info", tmp_path / "cut.spr", "--json"), ExitCode.OK, ""),
        (("info", tmp_path / "none.spr"), ExitCode.NOT_FOUND, "unreadable_file"),
    ):
        got, told = spresso(*args)
        assert (got, told.partition(":")[0]) == (exit_code, code) or (got == exit_code and not code), (args, got, told)
    assert not {"out.spr", "out.wav"} & left_behind(tmp_path)


def test_the_wrong_or_damaged_bundle_is_named(
    spresso: Callable[..., tuple[int, str]], sound: Path, stream: bytes, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "good.spr").write_bytes(stream)
    edit_weights(bundle, lambda tensors: tensors[some_key(tensors)].__imul__(2))
    got, told = spresso("decode", tmp_path / "good.spr", tmp_path / "out.wav", bundle=bundle)
    assert got == ExitCode.MODEL_MISSING and told.startswith("wrong_model:")
    (bundle / WEIGHTS).write_bytes(b"x")
    got, told = spresso("encode", sound, tmp_path / "out.spr", bundle=bundle)
    assert got == ExitCode.MODEL_MISSING and told.startswith("weights_mismatch:")


def test_places_that_cannot_be_written_stay_empty(
    spresso: Callable[..., tuple[int, str]], sound: Path, stream: bytes, tmp_path: Path
) -> None:
    (tmp_path / "good.spr").write_bytes(stream)
    blocked = tmp_path / "file"
    blocked.touch()
    for folder in (blocked, tmp_path / "none"):
        for args in (("encode", sound, folder / "a.spr"), ("decode", tmp_path / "good.spr", folder / "a.wav")):
            got, told = spresso(*args)
            assert got == ExitCode.FAILED and told.startswith("cannot_write:"), told
    assert left_behind(tmp_path) == {"file"}


def test_a_full_disk_leaves_the_former_file_and_nothing_else(tiny_bundle: Path, stream: bytes, tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk that is full halfway through."""
    (tmp_path / "good.spr").write_bytes(stream)
    (tmp_path / "out.wav").write_bytes(b"former")
    command = ["--bundle", str(tiny_bundle), "codec", "decode", "--force"]
    answer = subprocess.run(
        [sys.executable, "-m", "spresso_assets.cli.main", *command, "good.spr", "out.wav"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == ExitCode.FAILED
    assert answer.stderr.startswith("spresso codec decode: cannot_write:"), answer.stderr
    assert answer.stderr.count("\n") == 1
    assert (tmp_path / "out.wav").read_bytes() == b"former"
    assert left_behind(tmp_path) == {"out.wav"}
