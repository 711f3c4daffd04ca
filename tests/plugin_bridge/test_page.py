"""The page's files: open to all, since they tell nothing, and of a kind that no catalog text can turn into code."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from plugin_bridge.page import routes
from tests.plugin_bridge.running import Running

FILES = sorted(path.name for path in routes.FOLDER.iterdir() if path.suffix in routes.TYPES)


@pytest.fixture
def stranger(running_bridge: Running) -> httpx2.Client:
    """Somebody without the token."""
    return httpx2.Client(base_url=running_bridge.url, trust_env=False)


def test_the_page_and_all_that_it_names_are_had_without_a_token(stranger: httpx2.Client) -> None:
    page = stranger.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(/page/[^"]+)"', page.text)
    assert {"/page/app.js", "/page/style.css"} <= set(named)
    for path in [*named, *(f"/page/{name}" for name in FILES)]:
        answer = stranger.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == routes.TYPES[Path(path).suffix]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_module_that_is_imported_is_served() -> None:
    for name in FILES:
        text = (routes.FOLDER / name).read_text(encoding="utf-8")
        wanted = re.findall(r'(?:from "\./|new URL\(")([\w.]+)"', text)
        assert set(wanted) <= set(FILES), name


@pytest.mark.parametrize("name", ["routes.py", "__init__.py", "nothing.js", "..%2froutes.py", "%2e%2e/app.py", ""])
def test_nothing_else_is_had(stranger: httpx2.Client, name: str) -> None:
    assert stranger.get(f"/page/{name}").status_code in (400, 404)


def test_a_page_that_has_not_changed_is_not_sent_again(stranger: httpx2.Client) -> None:
    first = stranger.get("/page/app.js")
    again = stranger.get("/page/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"  # or a newer bridge would meet an older page


def test_no_text_becomes_markup_or_code_and_nothing_comes_from_elsewhere() -> None:
    for name in FILES:
        text = (routes.FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        if name != "icon.svg":
            assert not re.search(r"https?://|@import|url\(\s*['\"]?//", text), name
    page = (routes.FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
