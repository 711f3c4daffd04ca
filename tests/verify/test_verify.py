"""Each fault is made, then found under its own name; what was whole is found whole."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from spresso_assets.audio.read import read_audio
from spresso_assets.audio.write import write_wav
from spresso_assets.catalog.engine import open_catalog
from spresso_assets.catalog.search import search
from spresso_assets.cli.quality import moves_up
from spresso_assets.verify import sounding
from spresso_assets.verify.run import Order, chosen
from tests.cli.conftest import Result, Spresso, make_sounds

SLAM = "Doors/DOORWood_Wooden door slams_JD_LIB.wav"


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "catalog.db")) as connection, connection:
        yield connection


def tell(folder: Path, *statements: str) -> None:
    with database(folder) as connection:
        for statement in statements:
            connection.execute(statement)


def codes(result: Result) -> list[str]:
    return sorted(finding["code"] for finding in result.data["findings"])


def test_a_whole_archive_is_whole_at_every_level(filled: Spresso, tmp_path: Path) -> None:
    for level in ("stat", "hash", "decode"):
        assert codes(filled.ok("verify", "--level", level, "--sample", "100%", "--orphans", "--json")) == []
    result = filled.ok("verify", "--level", "quality", "--sample", "1", "--json")
    assert codes(result) == [] and result.data["measured"] == result.data["decoded"] == result.data["payloads"] == 3
    with database(tmp_path) as connection:
        stored = [row[0] for row in connection.execute("SELECT quality FROM rendition")]
    assert all('"metric": "mel"' in quality and '"against": "source"' in quality for quality in stored)
    # What verify keeps is what `spresso quality` shows: 1 is the sound itself, however poor this untrained codec is.
    (profile,) = filled.ok("quality", "--json").data["profiles"]
    assert profile["measured"] == 3 and 0 <= profile["worst"] <= profile["median"] <= 1


def test_a_decode_one_decibel_louder_than_its_file_has_a_quality_of_nine_tenths(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal((1, 44_100))).astype(np.float32)
    write_wav(tmp_path / "noise.wav", noise, 44_100, "FLOAT")
    for decibel, quality in ((0, 1.0), (1, 0.9), (3, 0.7)):
        heard = sounding.Heard(noise * np.float32(10 ** (decibel / 20)), 44_100)
        found = sounding.measure(heard, tmp_path / "noise.wav", seed=5)
        assert found is not None and found["seed"] == 5
        assert found["value"] == pytest.approx(quality, abs=0.01), decibel


def test_a_dry_run_keeps_no_measurement(filled: Spresso, tmp_path: Path) -> None:
    filled.ok("verify", "--level", "quality", "--sample", "1", "--dry-run", "--json")
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM rendition WHERE quality <> 'null'").fetchone() == (0,)


def test_files_that_went_changed_or_rotted(filled: Spresso, sounds: Path) -> None:
    slam = sounds / SLAM
    times = slam.stat()
    content = bytearray(slam.read_bytes())
    content[-1] ^= 1
    slam.write_bytes(content)
    os.utime(slam, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert codes(filled.ok("verify", "--json")) == [], "nothing to be seen from outside"
    result = filled("verify", "slams", "--level", "hash", "--json")
    assert result.code == 5 and codes(result) == ["original_changed"]
    slam.write_bytes(content + b"more")
    result = filled("verify", "--level", "hash", "--json")
    assert codes(result) == ["file_changed"] and result.data["findings"][0]["severity"] == "warning"
    slam.unlink()
    assert codes(filled("verify", "--json")) == ["file_missing"]
    sounds.rename(sounds.with_name("away"))
    result = filled("verify", "--json")
    assert codes(result) == ["root_offline"], "one line, not one per file"


@pytest.mark.parametrize(
    ("statement", "level", "code"),
    [
        ("UPDATE rendition SET payload = x'00' WHERE id = 1", "stat", "payload_corrupt"),
        ("UPDATE rendition SET payload_sha256 = 'ff' WHERE id = 1", "hash", "payload_corrupt"),
        ("UPDATE asset SET frames = frames + 1", "hash", "header_differs"),
        ("UPDATE rendition SET status = 'superseded' WHERE id = 1", "stat", "not_encoded"),
        ("DELETE FROM rendition WHERE id = 1", "stat", "result_missing"),
        (
            "UPDATE job SET status = 'running', lease_owner = 'x', lease_until = 1 "
            "WHERE id = (SELECT max(id) FROM job WHERE kind = 'probe')",
            "stat",
            "lease_over",
        ),
        (
            "UPDATE job SET status = 'failed' WHERE id = (SELECT job_id FROM rendition WHERE id = 1)",
            "stat",
            "job_unfinished",
        ),
        ("DELETE FROM asset_text WHERE asset_id = 1", "stat", "text_missing"),
        ("UPDATE source_file SET asset_id = NULL WHERE id = 1", "stat", "probe_missing"),
        ("UPDATE source_file SET state = 'unreadable' WHERE id = 1", "stat", "unreadable_file"),
        ("INSERT INTO tag (name, name_key) VALUES ('x', 'x')", "stat", "orphan_tags"),
    ],
)
def test_each_fault_by_its_name(filled: Spresso, tmp_path: Path, statement: str, level: str, code: str) -> None:
    tell(tmp_path, statement)
    result = filled("verify", "--level", level, "--orphans", "--json")
    assert code in codes(result)
    assert result.code == (0 if code == "orphan_tags" else 5)


def spoil(folder: Path, **spoiled: Any) -> None:
    """Another payload with its proper hash: only reading it tells."""
    payload = spoiled["payload"]
    with database(folder) as connection:
        connection.execute(
            "UPDATE rendition SET payload = ?, payload_bytes = ?, payload_sha256 = ? WHERE id = 1",
            (payload, len(payload), hashlib.sha256(payload).hexdigest()),
        )


def test_a_stream_that_does_not_parse_is_repaired(filled: Spresso, tmp_path: Path) -> None:
    with database(tmp_path) as connection:
        payload = connection.execute("SELECT payload FROM rendition WHERE id = 1").fetchone()[0]
    spoil(tmp_path, payload=payload[:-1] + bytes([payload[-1] ^ 1]))
    assert codes(filled("verify", "--level", "hash", "--json")) == ["spr_corrupt"]
    dry = filled("verify", "--level", "hash", "--repair", "--dry-run", "--json")
    assert len(dry.data["would_repair"]) == 1 and dry.data["repaired"] == []
    repaired = filled("verify", "--level", "hash", "--repair", "--json")
    assert "marked corrupt, queued" in repaired.data["repaired"][0]
    with database(tmp_path) as connection:
        rows = connection.execute("SELECT status, count(*) FROM rendition GROUP BY status").fetchall()
    assert sorted(rows) == [("corrupt", 1), ("ready", 2)], "marked and kept, not dropped"
    filled.ok("ingest", "--settle", "0", tmp_path / "sfx")
    assert codes(filled.ok("verify", "--level", "hash", "--json")) == []


def test_text_can_be_repaired(filled: Spresso, tmp_path: Path) -> None:
    tell(tmp_path, "DELETE FROM asset_text")
    assert filled("search", "door").code == 4
    filled("verify", "--repair")
    assert len(filled.ok("search", "door", "--json").data) == 2


class FakeCodec:
    """Decodes to whatever it is told."""

    def __init__(self, weights_sha256: str, answer: Any) -> None:
        self.weights_sha256, self.answer = weights_sha256, answer

    def decode(self, data: bytes, seed: int | None = 0, steps: int | None = None, quality: str = "default") -> Any:
        from spresso_assets.codec.bitstream import read_header

        header = read_header(data)
        return self.answer(np.full((header.channels, header.samples), 0.1, np.float32)), header.sample_rate


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda x: x * np.nan, "decode_nonfinite"),
        (lambda x: x[:, :-1], "decode_length"),
        (lambda x: x * 0, "decode_silent"),
    ],
)
def test_decodes_that_are_wrong(
    filled: Spresso, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any, code: str
) -> None:
    from spresso_assets.cli.state import State

    with database(tmp_path) as connection:
        weights = connection.execute("SELECT weights_sha256 FROM codec_model").fetchone()[0]
    monkeypatch.setattr(State, "codec", lambda self: FakeCodec(weights, answer))
    result = filled("verify", "--level", "decode", "--sample", "1", "--json")
    assert codes(result) == [code] * 3
    tell(tmp_path, "UPDATE asset SET flags = '[\"silent\"]'")
    expected = [] if code == "decode_silent" else [code] * 3
    assert codes(filled("verify", "--level", "decode", "--sample", "1", "--json")) == expected


def test_latents_of_other_weights_are_told_not_decoded(filled: Spresso, monkeypatch: pytest.MonkeyPatch) -> None:
    from spresso_assets.cli.state import State

    monkeypatch.setattr(State, "codec", lambda self: FakeCodec("00" * 32, lambda x: x))
    result = filled.ok("verify", "--level", "decode", "--sample", "1", "--json")
    assert codes(result) == ["wrong_model"] * 3 and result.data["decoded"] == 0


def test_outliers_come_worst_first_with_the_way_up() -> None:
    from types import SimpleNamespace as Any_

    low = Any_(name="0.3kbps")
    values = [0.50, 0.52, 0.49, 0.51, 0.50, 0.48, 0.53, 1.2, 0.9]
    measured = [
        sounding.Measured(Any_(id=n, uid=f"{n:032x}"), low, n, value)  # type: ignore[arg-type]
        for n, value in enumerate(values)
    ]
    judged = sounding.judged(measured)
    assert len(judged) == 9 and [one.measured.asset.id for one in judged if one.low] == [7, 8]
    assert sounding.judged(measured[:7]) == [], "too few to say what is usual"
    found = sounding.outlier(judged[0], "0.48kbps", is_mended=False)
    assert found.hint.endswith("--profile 0.48kbps") and "1.20" in found.message and found.counts
    assert "reencode" not in sounding.outlier(judged[0], None, is_mended=False).hint
    assert not sounding.outlier(judged[0], "0.48kbps", is_mended=True).counts


class Louder:
    """Decodes to the file, louder: by a decibel, or by four if its name says that it is hard."""

    def __init__(self, catalog_url: str, folder: Path) -> None:
        self.files = {}
        with closing(open_catalog(catalog_url)) as catalog, catalog.read() as session:
            rows = session.connection().execute(
                text(
                    "SELECT r.payload, f.rel_path, m.weights_sha256 FROM rendition r "
                    "JOIN source_file f ON f.asset_id = r.asset_id JOIN encode_profile p ON p.id = r.profile_id "
                    "JOIN codec_model m ON m.id = p.model_id"
                )
            )
            for payload, path, weights in rows:
                self.files[bytes(payload)], self.weights_sha256 = folder / path, weights

    def decode(self, data: bytes, seed: int | None = 0, steps: int | None = None, quality: str = "default") -> Any:
        path = self.files[data]
        source = read_audio(path)
        gain = 10 ** ((4 if "hard" in path.name else 1) / 20)
        return source.samples.astype(np.float32) * np.float32(gain), source.sample_rate


def test_exactly_what_is_flagged_is_moved_by_the_command_that_is_printed(
    spresso: Spresso, catalog_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spresso_assets.cli.state import State

    folder = tmp_path / "sfx"
    make_sounds(folder, [f"{'hard' if n in (3, 7) else 'easy'} {n}.wav" for n in range(10)])
    monkeypatch.setenv("SPRESSO_CATALOG", catalog_url)
    spresso.ok("init")
    spresso.ok("profile", "default", "0.3kbps")
    spresso.ok("ingest", "--settle", "0", folder)

    def verify(*options: str) -> Result:
        with monkeypatch.context() as patched:
            patched.setattr(State, "codec", lambda self: Louder(catalog_url, folder))
            return spresso("verify", "--level", "quality", "--sample", "1", *options)

    def found(query: str) -> set[str]:
        with closing(open_catalog(catalog_url)) as catalog, catalog.read() as session:
            return {hit.uid[:8] for hit in search(session, query)}

    told = verify()
    flagged = set(re.findall(r"warning (\w{8}) 0\.3kbps: quality_low", told.out + told.err))
    assert told.code == 5 and flagged == found("hard") == found("quality_low:=0.3kbps") and len(flagged) == 2
    command = "spresso reencode quality_low:=0.3kbps --profile 0.48kbps"
    assert told.out.rstrip().endswith(command), "the last line is the one command to run"
    with closing(open_catalog(catalog_url)) as catalog, catalog.read() as session:
        wanted = {"profile": "0.3kbps", "sounds": 2, "higher": "0.48kbps", "command": command}
        assert moves_up(session, []) == [wanted]
        assert moves_up(session, ["hard 3"])[0]["command"] == command.replace("quality", "'hard 3' quality")
        assert moves_up(session, ["easy", ",", "hard"]) == [wanted], "one more term would belong to the hard ones only"

    words = shlex.split(command)[1:]
    assert spresso.ok(*words, "--dry-run", "--json").data["sounds"] == 2 and found("profile:=0.48kbps") == set()
    spresso.ok(*words, "-y")
    assert found("profile:=0.48kbps") == flagged
    assert spresso.ok(*words, "-y", "--json").data["sounds"] == 0, "nothing twice"
    again = verify("--json")
    assert again.code == 0 and again.data["low"] == [], again.data
    assert [one["severity"] for one in again.data["findings"]] == ["info"] * 2, "they are still worth knowing"


def test_the_sample_is_a_share_and_the_same_for_the_same_seed() -> None:
    uids = [f"{n:032x}" for n in range(2000)]
    first = {uid for uid in uids if chosen(uid, Order(sample=0.05, seed=1))}
    assert first == {uid for uid in uids if chosen(uid, Order(sample=0.05, seed=1))}
    assert 70 < len(first) < 130
    assert first <= {uid for uid in uids if chosen(uid, Order(sample=0.2, seed=1))}, "a larger sample holds the smaller"
    assert first != {uid for uid in uids if chosen(uid, Order(sample=0.05, seed=2))}


def test_what_cannot_be_asked(filled: Spresso) -> None:
    assert filled("verify", "--level", "deep", "--json").json["error"]["code"] == "unknown_level"
    assert filled("verify", "--sample", "200%").code == 2 and filled("verify", "--sample", "some").code == 2
