"""Placing: real files in allowed folders, never half there, never over others, and the way back to the originals."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import soundfile

from plugin_bridge.placing import MANIFEST, MAX_NAME, numbered
from plugin_bridge.target_folder import TargetFolder, open_target
from spresso_assets.cli.main import main
from spresso_assets.errors import SpressoError
from spresso_assets.export.provenance import provenance_of
from tests.plugin_bridge.running import FilledCatalog, Running

SMALL = {"q": "preview", "bits": "16"}


@pytest.fixture
def folder(running_bridge: Running, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of this test below the allowed one; not made yet."""
    folder = running_bridge.place_folder / "film" / request.node.name[:40]
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def place(client: httpx2.Client, folder: Path | str, *items: dict[str, Any], **more: Any) -> httpx2.Response:
    body = {"items": [{**SMALL, **item} for item in items], "dir": str(folder), **more}
    return client.post("/v1/place", json=body)


def placed(client: httpx2.Client, folder: Path | str, *items: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = place(client, folder, *items, **more)
    assert answer.status_code == 200, answer.text
    files = answer.json()["files"]
    assert isinstance(files, list)
    return files


def refused(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / MANIFEST).open(newline="") as file:
        return list(csv.DictReader(file))


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".spresso")]


def test_a_placed_file_is_the_take_and_says_where_it_is_from(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    uid = bridge_catalog.id_of("Wooden")
    (first, second) = placed(client, folder, {"id": uid}, {"id": uid[:10], "variation": 1})
    assert Path(first["path"]).parent == folder.resolve()
    served = client.get(f"/v1/sounds/{uid}/audio.wav", params=SMALL)
    if served.status_code == 200:
        assert Path(first["path"]).read_bytes() == served.content
    info = soundfile.info(first["path"])
    assert (info.frames, info.samplerate, info.subtype) == (first["frames"], 48_000, "PCM_16")
    told = provenance_of(Path(first["path"]))
    assert told["ASSET"] == uid == first["id"] and told["SEED"] == str(first["seed"])
    assert told["ORIGINAL"].endswith("DOORWood_Wooden door slams_JD_LIB.wav") and told["WEIGHTS_SHA256"]
    assert second["seed"] == first["seed"] + 1 and second["sha256"] != first["sha256"]
    name = Path(first["path"]).name
    assert name == f"DOORWood_Wooden door slams_JD_LIB_{uid[:8]}-s{first['seed']}.wav"
    assert [row["file"] for row in rows(folder)] == [name, Path(second["path"]).name]
    assert rows(folder)[0]["original_state"] == "present" and not leftovers(folder)
    assert os.stat(first["path"]).st_nlink == 1, "an editor that saves in place must not change the cache"


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_conform_finds_the_originals(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path, tmp_path: Path, form: str
) -> None:
    wanted = [{"id": uid} for uid in bridge_catalog.ids.values()]
    files = placed(client, folder, *wanted, format=form)
    options = ["--quiet", "--catalog", str(bridge_catalog.file)]
    originals = {path.stem: path.read_bytes() for path in bridge_catalog.folder.rglob("*.wav")}
    names = {uid: name for name, uid in bridge_catalog.ids.items()}
    for source in (folder, folder / MANIFEST):
        out = tmp_path / source.name
        assert main([*options, "conform", str(source), str(out)]) == 0
        for file in files:
            assert (out / Path(file["path"]).with_suffix(".wav").name).read_bytes() == originals[names[file["id"]]]
    assert main([*options, "conform", files[0]["path"], str(tmp_path / "one")]) == 0
    (one,) = (tmp_path / "one").iterdir()
    assert one.read_bytes() == originals[names[files[0]["id"]]]


def test_the_same_bytes_are_the_same_file_and_others_get_a_number(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    item = {"id": bridge_catalog.id_of("gravel 01")}
    (first,) = placed(client, folder, item)
    (again,) = placed(client, folder, item)
    assert again == {**first, "skipped": True}
    mine = Path(first["path"])
    mine.write_bytes(b"an editor saved something else here")
    (other,) = placed(client, folder, item)
    assert mine.read_bytes() == b"an editor saved something else here"
    assert Path(other["path"]).name == f"{mine.stem}-2.wav" and other["sha256"] == first["sha256"]
    (quieter,) = placed(client, folder, {**item, "gain_db": -6})
    assert Path(quieter["path"]).name == f"{mine.stem}-3.wav"
    assert placed(client, folder, {**item, "gain_db": -6})[0]["skipped"]
    assert len(rows(folder)) == 3, "a file is listed once, however often it is asked for"


def test_names_that_differ_in_case_alone_are_one_name(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    item = {"id": bridge_catalog.id_of("gravel 02")}
    (first,) = placed(client, folder, item)
    path = Path(first["path"])
    path.rename(path.with_name(path.name.upper()))
    (again,) = placed(client, folder, item)
    assert again["skipped"] and Path(again["path"]).name == path.name.upper()
    path.with_name(path.name.upper()).write_bytes(b"other")
    assert Path(placed(client, folder, item)[0]["path"]).name == f"{path.stem}-2.wav"


def test_safe_names_have_no_spaces(client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path) -> None:
    items = [{"id": bridge_catalog.id_of("rusty")}, {"id": bridge_catalog.id_of("Wind")}]
    for file in placed(client, folder, *items, name_style="safe"):
        assert not set(Path(file["path"]).name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
        )


def test_folders_outside_are_refused_whatever_the_path_says(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog, tmp_path: Path
) -> None:
    item = {"id": bridge_catalog.id_of("gravel 01")}
    allowed = running_bridge.place_folder
    outside = tmp_path / "outside"
    outside.mkdir()
    (allowed / "leak").unlink(missing_ok=True)
    (allowed / "leak").symlink_to(outside)
    try:
        for path in (outside, allowed / "leak", allowed / "leak" / "new", f"{allowed}/../..", f"{allowed}x", "/"):
            assert refused(place(client, path, item)) == (403, "folder_not_allowed"), path
        for path in ("relative/folder", "~", "file:///tmp", f"{allowed}/a\nb", f"{allowed}\0"):
            assert refused(place(client, path, item)) == (400, "bad_request"), path
        assert "spresso bridge allow" in place(client, outside, item).json()["hint"]
    finally:
        (allowed / "leak").unlink()
    assert not list(outside.iterdir())


def test_a_folder_that_became_a_link_after_the_check_leads_nowhere(tmp_path: Path, monkeypatch: Any) -> None:
    allowed, outside = tmp_path.resolve() / "allowed", tmp_path.resolve() / "outside"
    (allowed / "sub").mkdir(parents=True)
    outside.mkdir()
    real = os.path.realpath

    def swapped(path: Any, **options: Any) -> str:
        found = real(path, **options)
        if (allowed / "sub").is_dir() and not (allowed / "sub").is_symlink():
            (allowed / "sub").rmdir()
            (allowed / "sub").symlink_to(outside)
        return str(found)

    monkeypatch.setattr(os.path, "realpath", swapped)
    with pytest.raises(SpressoError) as caught:
        open_target(str(allowed / "sub"), [allowed])
    assert caught.value.code == "not_a_folder"


def test_an_open_folder_stays_the_folder_that_was_checked(tmp_path: Path) -> None:
    allowed, outside = tmp_path.resolve() / "allowed", tmp_path.resolve() / "outside"
    allowed.mkdir()
    outside.mkdir()
    with open_target(str(allowed / "sub"), [allowed]) as target:
        (allowed / "sub").rename(allowed / "moved")
        (allowed / "sub").symlink_to(outside)
        assert target.publish(target.stage(b"content"), "a.wav")
    assert (allowed / "moved" / "a.wav").read_bytes() == b"content" and not list(outside.iterdir())


def test_links_in_the_folder_are_not_written_through(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path, tmp_path: Path
) -> None:
    item = {"id": bridge_catalog.id_of("gravel 03")}
    (first,) = placed(client, folder, item)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path = Path(first["path"])
    path.unlink()
    path.symlink_to(victim)
    (again,) = placed(client, folder, item)
    assert Path(again["path"]).name == f"{path.stem}-2.wav" and victim.read_text() == "mine"
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).symlink_to(tmp_path / "made through a link")
    assert refused(place(client, folder, item)) == (409, "cannot_write")
    assert os.listdir(tmp_path) == ["victim"]


def test_folders_that_are_none_or_cannot_be_written(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    item = {"id": bridge_catalog.id_of("gravel 01")}
    folder.mkdir(parents=True)
    (folder / "file").write_text("")
    assert refused(place(client, folder / "file", item)) == (409, "not_a_folder")
    assert refused(place(client, folder / "file" / "sub", item)) == (409, "not_a_folder")
    assert refused(place(client, folder / ("x" * 300), item)) == (409, "cannot_write")


def test_a_watched_folder_is_no_place_for_decodes(
    client: httpx2.Client, running_bridge: Running, bridge_catalog: FilledCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_bridge.bridge, "place_folders", lambda: [bridge_catalog.folder.resolve()])
    answer = place(client, bridge_catalog.folder / "Doors", {"id": bridge_catalog.id_of("Wooden")})
    assert refused(answer) == (409, "target_in_root")


def test_bad_lists_cost_one_clear_error_and_no_file(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    uid = bridge_catalog.id_of("Wooden")
    assert refused(place(client, folder, {"id": uid}, {"id": "ffffffffffff"})) == (404, "asset_not_found")
    assert refused(place(client, folder, {"id": uid, "bits": "32f"}, format="flac")) == (400, "bad_format")
    assert refused(place(client, folder)) == (400, "bad_request")
    assert refused(place(client, folder, {"id": uid, "seed": -1})) == (400, "bad_request")
    assert refused(place(client, folder, {"id": uid}, name_style="../../etc/passwd")) == (400, "bad_request")
    assert not folder.exists()


def test_somebody_elses_list_is_left_alone(client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("shopping;list\nmilk;2\n")
    assert refused(place(client, folder, {"id": bridge_catalog.id_of("Wooden")})) == (409, "manifest_foreign")
    assert os.listdir(folder) == [MANIFEST]


def test_a_list_that_was_edited_or_torn_goes_on(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path
) -> None:
    (first,) = placed(client, folder, {"id": bridge_catalog.id_of("Wooden")})
    sheet = folder / MANIFEST
    whole = sheet.read_text()
    sheet.write_text(whole + "torn line,deco")  # a power cut
    placed(client, folder, {"id": bridge_catalog.id_of("rusty")})
    assert len(rows(folder)) == 2 and "torn" not in sheet.read_text()
    sheet.write_text("\ufeffasset,note,file\r\n" + f"{first['id']},nice,{Path(first['path']).name}")  # a spreadsheet
    placed(client, folder, {"id": bridge_catalog.id_of("rusty")})
    with sheet.open(newline="", encoding="utf-8-sig") as file:
        kept = list(csv.DictReader(file))
    assert [row["note"] for row in kept] == ["nice", ""]
    assert kept[1]["asset"] == bridge_catalog.id_of("rusty") and "rusty" in kept[1]["file"]


def test_many_writers_lose_no_line(client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path) -> None:
    uid = bridge_catalog.id_of("gravel 01")
    answers: list[int] = []

    def write(number: int) -> None:
        with httpx2.Client(base_url=client.base_url, headers=client.headers, timeout=60, trust_env=False) as mine:
            # the same take under other levels: all of them want one name
            answers.append(place(mine, folder, {"id": uid, "gain_db": -number}).status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    sounds = sorted(path.name for path in folder.glob("*.wav"))
    assert len(sounds) == 8 and sorted(row["file"] for row in rows(folder)) == sounds and not leftovers(folder)


def test_processes_take_turns_at_the_list(tmp_path: Path) -> None:
    code = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from pathlib import Path
from plugin_bridge.placing import _Manifest
from plugin_bridge.target_folder import open_target
from spresso_assets.export.manifest import Exported
sys.stdin.readline()
with open_target({str(tmp_path)!r}, [Path({str(tmp_path.resolve())!r})]) as target:
    for n in range(20):
        with _Manifest.of(target) as manifest:
            time.sleep(0.002)  # between what it has read and what it writes
            manifest.add(Exported(f"{{n}}.wav", "decoded", "a" * 32, "n", "", "", "p", n, "", 1.0, 1, "", False))
"""
    running = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(2)]
    for process in running:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.wait(60) for process in running] == [0, 0]
    assert [row["file"] for row in rows(tmp_path)] == [f"{n}.wav" for n in range(20)], "each once, under one head"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_while_writing_leaves_no_half_file(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from plugin_bridge.target_folder import open_target
flushed = os.fsync
def killed(descriptor):
    os.kill(os.getpid(), signal.SIGKILL)
os.fsync = killed
with open_target({str(tmp_path)!r}, [Path({str(tmp_path.resolve())!r})]) as target:
    target.publish(target.stage(b"x" * 1000), "sound.wav")
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == []
    (abandoned,) = leftovers(tmp_path)
    os.utime(tmp_path / abandoned, (0, 0))
    with open_target(str(tmp_path), [tmp_path.resolve()]) as target:
        target.sweep()
    assert not os.listdir(tmp_path)


def test_a_full_disk_leaves_nothing(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: TargetFolder, content: bytes) -> str:
        raise SpressoError("full", code="disk_full")

    monkeypatch.setattr(TargetFolder, "stage", full)
    answer = place(client, folder, {"id": bridge_catalog.id_of("Wooden")})
    assert refused(answer) == (507, "disk_full") and not list(folder.glob("*.wav"))


def test_a_disk_that_runs_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with open_target(str(tmp_path), [tmp_path.resolve()]) as target:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SpressoError) as caught:
            target.stage(b"x" * 1000)
    assert caught.value.code == "disk_full" and not os.listdir(tmp_path)


def test_a_folder_without_permission(
    client: httpx2.Client, bridge_catalog: FilledCatalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: TargetFolder, name: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied")  # the one who runs the tests may be root, who may everything

    monkeypatch.setattr(TargetFolder, "open", closed)
    answer = place(client, folder, {"id": bridge_catalog.id_of("Wooden")})
    assert refused(answer) == (403, "folder_not_writable") and "write access" in answer.json()["hint"]


def test_where_there_are_no_links_files_are_renamed_and_still_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*names: Any, **options: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", none)
    with open_target(str(tmp_path), [tmp_path.resolve()]) as target:
        assert target.publish(target.stage(b"one"), "a.wav")
        staged = target.stage(b"two")
        assert not target.publish(staged, "a.wav")
        target.remove(staged)
    assert (tmp_path / "a.wav").read_bytes() == b"one" and os.listdir(tmp_path) == ["a.wav"]


def test_numbers_never_make_a_name_too_long() -> None:
    names = numbered("x" * 116 + ".wav")
    first, *others = (next(names) for _ in range(120))
    assert first == "x" * 116 + ".wav" and len(set(others)) == 119
    assert max(map(len, others)) <= MAX_NAME and others[0].endswith("x-2.wav")
