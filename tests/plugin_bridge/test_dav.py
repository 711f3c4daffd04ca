"""The read-only folder: what WebDAV clients may rely on, and that nothing else can be had from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import httpx2
import pytest
from sqlalchemy import event

from plugin_bridge.dav import tree as tree_module
from plugin_bridge.dav.tree import Folder, Tree, is_never_there, letter_of
from plugin_bridge.dav.xml import Resource, multistatus, quoted
from plugin_bridge.events import CatalogWatch
from plugin_bridge.render.takes import TakeParams, make_take
from spresso_assets.bench.synthetic import fill
from spresso_assets.catalog.engine import Catalog, open_catalog
from spresso_assets.codec.bitstream import SprHeader, pack
from tests.catalog.conftest import new_database, postgres_server
from tests.plugin_bridge.running import FilledCatalog, Running

__all__ = ["postgres_server"]

DAV = "{DAV:}"
FEET = "FEET/F/"
HEAD = SprHeader("abcdef", 4, None, None, 48_000, 48_000, silent=True, dim=64)


@pytest.fixture
def anyone(running_bridge: Running) -> Iterator[httpx2.Client]:
    """A client without the bridge's token, as mounts are."""
    with httpx2.Client(base_url=running_bridge.dav_url, timeout=60, trust_env=False) as client:
        yield client


def propfind(client: httpx2.Client, path: str = "", depth: str = "1") -> httpx2.Response:
    return client.request("PROPFIND", path, headers={"Depth": depth})


def listed(client: httpx2.Client, path: str = "") -> dict[str, ElementTree.Element]:
    """Properties by path below the folder's own address."""
    answer = propfind(client, path)
    assert answer.status_code == 207, answer.text
    base = unquote(client.base_url.path)
    found = {}
    for response in ElementTree.fromstring(answer.content).iter(f"{DAV}response"):
        href = unquote(response.findtext(f"{DAV}href") or "")
        assert href.startswith(base), href
        prop = response.find(f"{DAV}propstat/{DAV}prop")
        assert prop is not None and response.findtext(f"{DAV}propstat/{DAV}status") == "HTTP/1.1 200 OK"
        found[href.removeprefix(base)] = prop
    return found


def walk(client: httpx2.Client, path: str = "") -> dict[str, ElementTree.Element]:
    """Every file of the folder."""
    files = {}
    for name, prop in listed(client, path).items():
        if prop.find(f"{DAV}resourcetype/{DAV}collection") is None:
            files[name] = prop
        elif name != path:
            files.update(walk(client, name))
    return files


def test_every_sound_is_there_once_by_category_and_letter(anyone: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    assert list(listed(anyone)) == ["", "AMB/", "DOORS/", "FEET/", "RAIN/"]
    assert list(listed(anyone, "DOORS/")) == ["DOORS/", "DOORS/D/", "DOORS/M/", "DOORS/W/"]
    files = walk(anyone)
    assert sorted(name[-12:-4] for name in files) == sorted(uid[:8] for uid in bridge_catalog.ids.values())
    rain = bridge_catalog.id_of("RAIN")
    assert f"RAIN/H/Heavy rain on a tin roof__{rain[:8]}.wav" in files
    odd = bridge_catalog.id_of("Wind")
    assert f"AMB/B/b onmouseover=alert(1)_Wind & höhle__{odd[:8]}.wav" in files, list(files)


def test_a_file_is_what_the_interface_gives_and_as_long_as_was_said(
    anyone: httpx2.Client, client: httpx2.Client, bridge_catalog: FilledCatalog
) -> None:
    by_id = {uid[:8]: uid for uid in bridge_catalog.ids.values()}
    for name, prop in walk(anyone).items():
        got = anyone.get(quote(name))
        assert got.status_code == 200 and got.headers["content-type"] == "audio/wav"
        assert int(prop.findtext(f"{DAV}getcontentlength") or 0) == len(got.content)
        assert prop.findtext(f"{DAV}getetag") == got.headers["etag"]
        assert prop.findtext(f"{DAV}getcontenttype") == "audio/wav"
        assert parsedate_to_datetime(prop.findtext(f"{DAV}getlastmodified") or "").year >= 2024
        served = client.get(f"/v1/sounds/{by_id[name[-12:-4]]}/audio.wav")
        assert got.content == served.content and got.headers["etag"] == served.headers["etag"]


def test_listing_and_head_decode_nothing(anyone: httpx2.Client, running_bridge: Running) -> None:
    decoded = running_bridge.bridge.renderer.decoded
    for name, prop in walk(anyone).items():
        head = anyone.head(quote(name))
        assert head.headers["content-length"] == prop.findtext(f"{DAV}getcontentlength")
        assert anyone.get(quote(name), headers={"Range": "bytes=0-43"}).content[:4] == b"RIFF"
        assert len(ElementTree.fromstring(propfind(anyone, quote(name), "0").content)) == 1
    assert running_bridge.bridge.renderer.decoded == decoded


def test_parts_and_unchanged_files(anyone: httpx2.Client) -> None:
    name = quote(next(name for name in walk(anyone) if name.startswith(FEET)))
    whole = anyone.get(name)
    assert whole.headers["cache-control"] == "private, no-cache", "the sound may be encoded anew"
    part = anyone.get(name, headers={"Range": "bytes=5000-5999"})
    assert part.status_code == 206 and part.content == whole.content[5000:6000]
    tail = anyone.get(name, headers={"Range": "bytes=-7"})
    assert tail.content == whole.content[-7:]
    assert anyone.get(name, headers={"Range": "bytes=99999999-"}).status_code == 416
    assert anyone.get(name, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_what_the_server_says_it_can_do(anyone: httpx2.Client) -> None:
    for path in ("", FEET):
        options = anyone.request("OPTIONS", path)
        assert options.status_code == 200 and options.headers["dav"] == "1"
        assert options.headers["allow"] == "OPTIONS, PROPFIND, GET, HEAD"


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK", "PROPPATCH"])
def test_it_is_read_only(anyone: httpx2.Client, method: str) -> None:
    answer = anyone.request(method, FEET + "new.wav", content=b"x" if method == "PUT" else b"")
    assert answer.status_code == 405 and answer.headers["allow"] == "OPTIONS, PROPFIND, GET, HEAD"


@pytest.mark.parametrize("depth", ["infinity", "", "2", None])
def test_the_whole_tree_is_not_given_at_once(anyone: httpx2.Client, depth: str | None) -> None:
    answer = anyone.request("PROPFIND", "", headers={} if depth is None else {"Depth": depth})
    assert answer.status_code == 403 and b"propfind-finite-depth" in answer.content


def test_another_token_opens_nothing(running_bridge: Running, anyone: httpx2.Client) -> None:
    with httpx2.Client(base_url=running_bridge.url, timeout=60, trust_env=False) as client:
        for token in ("", "x", running_bridge.token, running_bridge.bridge.tokens.dav_token[:-1]):
            for method in ("OPTIONS", "PROPFIND", "GET", "PUT"):
                answer = client.request(method, f"/dav/{token}/", headers={"Depth": "1"})
                assert answer.status_code == 404, (method, token)
        assert client.get("/v1/info", headers={"Authorization": f"Bearer {running_bridge.bridge.tokens.dav_token}"}
        ).status_code == 401, "the folder's token opens the folder alone"  # fmt: skip
    assert propfind(anyone).status_code == 207


def test_no_token_is_logged(anyone: httpx2.Client, running_bridge: Running, capfd: pytest.CaptureFixture[str]) -> None:
    propfind(anyone)
    anyone.get("nothing/here")
    anyone.get(quote(next(iter(walk(anyone)))))
    seen = capfd.readouterr()
    assert running_bridge.bridge.tokens.dav_token not in seen.out + seen.err


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._Footstep.wav", "desktop.ini", "Thumbs.db", ".Trash-0/x", "autorun.inf", "Folder.jpg", ".hidden"],
)
def test_what_file_managers_look_for_costs_no_query(anyone: httpx2.Client, running_bridge: Running, name: str) -> None:
    asked: list[str] = []
    engine = running_bridge.bridge.catalog.engine

    def note(*args: object) -> None:
        asked.append(str(args[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        for method in ("GET", "HEAD", "PROPFIND"):
            assert anyone.request(method, FEET + name, headers={"Depth": "0"}).status_code == 404
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert not asked


@pytest.mark.parametrize(
    "path",
    [
        *(
            "nothing",
            "FEET/Z/",
            "FEET/F/001/",
            "FEET/F/nothing.wav",
            "FEET/F/a__0000000000000000.wav",
            "a__00000000.wav",
        ),
        *("FEET/F/" + "x" * 3000, "FEET/F/%00.wav", "/".join("x" * 20), "FEET/F/%ff%fe__00000000.wav"),
    ],
)
def test_what_is_not_there_is_404(anyone: httpx2.Client, path: str) -> None:
    answer = propfind(anyone, path)
    assert answer.status_code in (400, 404) and answer.headers["content-type"] == "application/problem+json"


def test_a_file_has_one_name_and_one_place(anyone: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    uid = bridge_catalog.id_of("gravel 01")
    assert anyone.head(f"FEET/F/Footstep gravel 01__{uid[:8]}.wav").status_code == 200
    assert anyone.head(f"feet/f/FOOTSTEP GRAVEL 01__{uid[:8]}.WAV").status_code == 200, "as Windows and macOS may ask"
    assert anyone.head(f"FEET/F/001/Footstep gravel 01__{uid[:8]}.wav").status_code == 200, "if its letter was cut"
    for wrong in (f"DOORS/F/Footstep gravel 01__{uid[:8]}.wav", f"FEET/G/Footstep gravel 01__{uid[:8]}.wav"):
        assert anyone.head(wrong).status_code == 404
    assert anyone.head(f"FEET/F/Other name__{uid[:8]}.wav").status_code == 404


def test_folders_as_text_for_scripts(anyone: httpx2.Client, bridge_catalog: FilledCatalog) -> None:
    assert anyone.get("").text.splitlines() == ["AMB/", "DOORS/", "FEET/", "RAIN/"]
    names = anyone.get(FEET).text.splitlines()
    assert len(names) == 3 and anyone.head(FEET + names[0]).status_code == 200


# --- archives of any size ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[Catalog]:
    """600 synthetic sounds with payloads that say their length."""
    file = tmp_path_factory.mktemp("large") / "catalog.db"
    file.write_bytes(migrated_file.read_bytes())
    catalog = open_catalog(file)
    fill(catalog, 600, profiles=("0.3kbps", "2.5kbps", "1hz"), payload=lambda n: _payload(HEAD, n))
    yield catalog
    catalog.close()


def _payload(head: SprHeader, n: int) -> bytes:
    from dataclasses import replace

    import numpy as np

    return pack(replace(head, samples=100 + n), np.zeros((0, 64), np.float32))


def folders_of(tree: Tree, path: str = "") -> Iterator[tuple[str, Folder]]:
    found = tree.find(path)
    assert isinstance(found, Folder), path
    yield path, found
    for name in found.folders:
        yield from folders_of(tree, f"{path}/{name}".strip("/"))


@pytest.mark.parametrize("most", [500, 3])
def test_no_folder_is_long_and_no_sound_is_lost(large: Catalog, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(tree_module, "MAX_ENTRIES", most)
    tree = Tree(large, CatalogWatch(large))
    names: list[str] = []
    for path, folder in folders_of(tree):
        assert len(folder.files) <= most, path
        if any(name.isdecimal() for name in folder.folders):
            assert len(folder.folders) <= most, path
        names += [f"{path}/{entry.name}" for entry in folder.files]
    assert len({name.casefold() for name in names}) == 600
    for name in itertools.islice(names, 0, None, 97):
        found = tree.find(name)
        assert found is not None and not isinstance(found, Folder) and name.endswith(found.name)


def test_a_path_is_found_again_when_its_letter_was_cut(large: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Tree(large, CatalogWatch(large))
    folder = tree.find("DOORS/H")
    assert isinstance(folder, Folder) and len(folder.files) > 5
    monkeypatch.setattr(tree_module, "MAX_ENTRIES", 5)
    cut = tree.find("DOORS/H")
    assert isinstance(cut, Folder) and not cut.files and cut.folders[0] == "001"
    assert all(tree.find(f"DOORS/H/{entry.name}") is not None for entry in folder.files)


def test_a_folder_costs_the_same_few_statements_however_many_files_it_has(large: Catalog) -> None:
    asked: list[str] = []
    tree = Tree(large, CatalogWatch(large))

    def note(*args: object) -> None:
        asked.append(str(args[2]))

    event.listen(large.engine, "before_cursor_execute", note)
    try:
        sizes = []
        for path in ("DOORS", "DOORS/H", "DOORS/O"):
            before = len(asked)
            folder = tree.find(path)
            assert isinstance(folder, Folder)
            sizes.append((len(folder.files), len(asked) - before))
    finally:
        event.remove(large.engine, "before_cursor_execute", note)
    assert sizes[1][0] > sizes[2][0] > 1 and sizes[1][1] == sizes[2][1] == 4, (
        sizes
    )  # one of them begins the transaction
    with large.read() as session:
        for statement in asked:
            if "SELECT" in statement and "?" not in statement:
                plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
                scans = [row[3] for row in plan if row[3].startswith("SCAN") and " asset" in f" {row[3]}"]
                assert not [scan for scan in scans if "USING" not in scan and "step" not in scan], (statement, plan)


def test_a_listing_chooses_the_rendition_that_everything_else_takes(large: Catalog) -> None:
    folder = Tree(large, CatalogWatch(large)).find("DOORS/O")
    assert isinstance(folder, Folder)
    for entry in folder.files:
        with large.read() as session:
            taken = make_take(session, entry.take.asset_uid, TakeParams())
        assert taken.profile == entry.take.profile != "0.3kbps" and taken.etag("wav") == entry.etag


def test_postgres_has_the_folders_too(postgres_server: str) -> None:
    with new_database(postgres_server) as url:
        catalog = open_catalog(url, create=True)
        fill(catalog, 60, profiles=("0.3kbps", "2.5kbps"), payload=lambda n: _payload(HEAD, n))
        watch = CatalogWatch(catalog)
        tree = Tree(catalog, watch)
        before = watch.generation(0)
        names = {path: [entry.name for entry in folder.files] for path, folder in folders_of(tree) if folder.files}
        assert sum(map(len, names.values())) == 60 and watch.generation(0) == before
        path, (first, *_) = next(iter(names.items()))
        assert tree.find(f"{path}/{first}") is not None
        with catalog.session() as session:
            session.connection().exec_driver_sql("UPDATE asset SET deleted_at = 1")
        assert watch.generation(0) == before + 1
        catalog.close()


def test_sounds_that_are_longer_than_a_request_may_ask_for_are_not_listed(large: Catalog) -> None:
    every = Tree(large, CatalogWatch(large)).find("DOORS/H")
    short = Tree(large, CatalogWatch(large), max_seconds=0.008).find("DOORS/H")
    assert isinstance(every, Folder) and isinstance(short, Folder)
    assert (
        {entry.name for entry in short.files}
        == {entry.name for entry in every.files if entry.take.frames <= 384}
        != {entry.name for entry in every.files}
    )


def test_new_sounds_appear(bridge_catalog: FilledCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    import sqlite3
    from contextlib import closing

    monkeypatch.setattr(tree_module, "LOOK_EVERY_S", 0.0)
    file = tmp_path / "catalog.db"
    shutil.copy(bridge_catalog.file, file)
    catalog = open_catalog(file)
    watch = CatalogWatch(catalog)
    tree = Tree(catalog, watch)
    before = tree.find("FEET/F")
    assert isinstance(before, Folder) and len(before.files) == 3
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "UPDATE asset SET fx_name = 'Grit', updated_at = (SELECT 1 + max(updated_at) FROM asset) "
            "WHERE fx_name LIKE '%l 01'"
        )
    monkeypatch.setattr(tree_module, "REREAD", 0.0)
    after = tree.find("FEET/F")
    assert isinstance(after, Folder) and "Grit" in " ".join(entry.name for entry in after.files)
    watch.close()
    catalog.close()


def test_letters_and_names() -> None:
    names = ("door", "Éclat", "7 bells", "(wet) slap", "", "漢字", "--")
    assert [letter_of(name) for name in names] == ["D", "E", "0-9", "W", "_", "_", "_"]
    assert is_never_there("._x") and is_never_there("THUMBS.DB") and not is_never_there("Thumbs up__00000000.wav")
    name = "a&b <c>'\"%é.wav"
    assert unquote(quoted(name)) == name and not set(quoted(name)) & set("&<>'\"")
    ElementTree.fromstring(multistatus([Resource(f"/dav/{quoted(name)}", 1, '"e"', 0)]))
