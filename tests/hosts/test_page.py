"""The page in a real Chromium, against a real bridge: what a person does, mostly by keyboard, and what comes of it."""

from __future__ import annotations

import io
import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

from plugin_bridge.place_folders import PlaceFolders
from spresso_assets.bench.synthetic import fill
from spresso_assets.catalog.engine import open_catalog
from tests.hosts.browser import chromium, complaints, needs_chromium
from tests.hosts.desktop import wait_for
from tests.plugin_bridge.running import FilledCatalog, Running, fill_catalog, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

needs_chromium()

HOSTILE = '<img src=x onerror="window.stolen=1">'
DARK, LIGHT = "dark", "light"
NOT_RUNNING = {"detail": "Audacity does not run", "code": "target_not_running", "hint": "Start it."}
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> FilledCatalog:
    """A catalog of this file's own: one original is gone, one sound has a hostile name, one a measured
    quality, and one is not encoded."""
    filled = fill_catalog(tmp_path_factory.mktemp("page"), tiny_bundle)
    (next(filled.folder.rglob("*rusty*"))).unlink()
    with closing(sqlite3.connect(filled.file)) as database, database:
        database.execute(
            "UPDATE asset SET fx_name = ?, description = ?, category = ? WHERE uid = ?",
            (HOSTILE, HOSTILE, HOSTILE, filled.id_of("onmouseover")),
        )
        database.execute(
            "DELETE FROM rendition WHERE asset_id = (SELECT id FROM asset WHERE uid = ?)", (filled.id_of("gravel 03"),)
        )
        database.execute(
            "UPDATE rendition SET quality = ? WHERE asset_id = (SELECT id FROM asset WHERE uid = ?)",
            (json.dumps({"metric": "mel", "value": 0.83}), filled.id_of("creak")),
        )
    return filled


@pytest.fixture(scope="module")
def served(shelf: FilledCatalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(shelf, tmp_path_factory.mktemp("served")) as bridge:
        yield bridge


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def context(browser: Browser, served: Running) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=DARK)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.url)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, served: Running) -> Iterator[Page]:
    """The page, let in and with its list filled; an error in its console fails the test."""
    page = context.new_page()
    errors = complaints(page)
    page.goto(fresh_url(served))
    page.wait_for_selector(".row")
    yield page
    assert errors == []


def fresh_url(served: Running) -> str:
    """An address that opens the page once."""
    url = served.client.post("/v1/session/code", json={}).json()["url"]
    assert isinstance(url, str)
    return url


def find(page: Page, words: str) -> None:
    """Search with the keyboard and choose the first sound."""
    page.keyboard.press("/")
    page.keyboard.type(words)
    wait_for("the search", lambda: page.locator(".row").count() == 1, PATIENCE_S)
    page.keyboard.press("ArrowDown")


def settled(page: Page) -> None:
    """Wait until the chosen take is there in full quality."""
    wait_for(
        "the decode",
        lambda: page.evaluate("document.querySelector('#chosen').dataset.stage === ''") and pixels(page, "#wave") > 0,
        PATIENCE_S,
    )


def pixels(page: Page, canvas: str, name: str = "made") -> int:
    """How many pixels of a canvas have a colour of the theme."""
    count = page.evaluate(
        """([selector, name]) => {
          const probe = document.createElement('canvas').getContext('2d');
          probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--' + name);
          probe.fillRect(0, 0, 1, 1);
          const wanted = probe.getImageData(0, 0, 1, 1).data;
          const canvas = document.querySelector(selector);
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          let count = 0;
          for (let i = 0; i < data.length; i += 4)
            if (data[i] === wanted[0] && data[i + 1] === wanted[1] && data[i + 2] === wanted[2]) count++;
          return count;
        }""",
        [canvas, name],
    )
    assert isinstance(count, int)
    return count


def loudest(page: Page, act: Callable[[], None]) -> float:
    """The highest level in dB that the meter shows while a sound plays, from `act`, which starts it, to its end."""
    page.evaluate(
        """() => {
          window.loudest = -Infinity;
          const meter = document.querySelector('#meter');
          window.watching = new MutationObserver(() => {
            window.loudest = Math.max(window.loudest, Number(meter.getAttribute('aria-valuenow')));
          });
          window.watching.observe(meter, { attributes: true });
        }"""
    )
    act()
    wait_for("sound", lambda: page.evaluate("window.loudest") > -60, PATIENCE_S)
    wait_for("the end", lambda: page.inner_text("#play") == "Play", PATIENCE_S)
    level = page.evaluate("window.watching.disconnect(), window.loudest")
    return float(level)


def seeds(page: Page) -> list[str]:
    return [text.split()[0] for text in page.locator(".card .seed").all_inner_texts()]


def said(page: Page, pattern: str) -> str:
    """Wait until the line at the bottom says something."""
    found = wait_for(pattern, lambda: re.search(pattern, page.inner_text("#said")), PATIENCE_S)
    return found.group(0)


# --- the work of a person ---------------------------------------------------------------------------------------------


def test_search_hear_compare_vary_place_and_copy_by_keyboard(page: Page, served: Running) -> None:
    page.keyboard.press("/")
    page.keyboard.type("slams")
    wait_for("the search", lambda: page.locator(".row").count() == 1, PATIENCE_S)

    assert loudest(page, lambda: page.keyboard.press("ArrowDown")) > -50  # heard as soon as it is chosen
    settled(page)
    assert pixels(page, "#wave") > 1000
    wait_for("the spectrogram", lambda: page.get_attribute("#spectrum", "data-drawn") == "yes", PATIENCE_S)

    assert loudest(page, lambda: (page.keyboard.press("a"), page.keyboard.press(" "))[0]) > -50
    wait_for("the original", lambda: page.get_attribute("#side-b", "aria-pressed") == "true", PATIENCE_S)
    assert pixels(page, "#wave", "original") > 500
    assert re.search(r"turned down by \d|equally loud", page.inner_text("#ab-note"))

    page.keyboard.press("a")
    wait_for("the re-synthesis", lambda: page.get_attribute("#side-a", "aria-pressed") == "true")
    page.keyboard.press("v")
    wait_for("variation 2", lambda: "now" in (page.locator(".card").nth(1).get_attribute("class") or ""))
    page.keyboard.press("7")
    settled(page)
    seed = seeds(page)[6]

    page.keyboard.press("Enter")
    said(page, "Placed: .*wav")
    (placed,) = served.place_folder.glob(f"*-s{seed}.wav")
    samples, rate = soundfile.read(placed)
    assert (len(samples), rate) == (int(0.8 * 48000), 48000)
    page.keyboard.press("c")
    said(page, "Copied the path")
    assert page.evaluate("navigator.clipboard.readText()") == str(placed)
    page.keyboard.press("Shift+C")
    said(page, "Copied the id")
    assert served.client.get(f"/v1/sounds/{page.evaluate('navigator.clipboard.readText()')}").status_code == 200


def test_a_preview_sounds_first_and_full_quality_takes_over(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/audio.wav" in request.url else None)
    find(page, "creak")
    settled(page)
    assert ["q=preview" in asked[0], "q=default" in asked[1]] == [True, True]
    # one listener, so the second request ends the first where that still runs
    assert len({re.search(r"group=[\w-]+", url).group() for url in asked[:2]}) == 1  # type: ignore[union-attr]


def test_the_deck_plays_what_the_bridge_gave_sample_by_sample(
    page: Page, served: Running, shelf: FilledCatalog
) -> None:
    """The page reads WAV by itself; the waveform that it draws must be that of the file."""
    find(page, "creak")
    settled(page)
    got = page.evaluate(
        """async (url) => {
          const { WaveReader } = await import('/page/wave_file.js');
          const answer = await fetch(url, { headers: { Authorization: 'Bearer ' + sessionStorage['spresso.token'] } });
          const bytes = new Uint8Array(await answer.arrayBuffer());
          const reader = new WaveReader();
          const samples = [];
          // in pieces that respect no boundary
          for (let at = 0; at < bytes.length; at += 10007)
            for (const value of reader.add(bytes.slice(at, at + 10007))?.[0] ?? []) samples.push(value);
          return samples;
        }""",
        f"/v1/sounds/{shelf.id_of('creak')}/audio.wav?bits=24",
    )
    file = served.client.get(f"/v1/sounds/{shelf.id_of('creak')}/audio.wav?bits=24").content
    expected, _ = soundfile.read(io.BytesIO(file), dtype="float32")
    np.testing.assert_array_equal(np.float32(got), expected)


def test_variations_are_drawn_kept_and_rerolled(page: Page) -> None:
    find(page, "slams")
    settled(page)
    wait_for("nine drawn", lambda: page.locator('.card[data-drawn="yes"]').count() == 9, PATIENCE_S)
    before = seeds(page)
    assert len(set(before)) == 9
    page.keyboard.press("3")
    page.keyboard.press("k")
    page.keyboard.press("r")
    after = wait_for("other seeds", lambda: seeds(page) if seeds(page) != before else None)
    assert [a == b for a, b in zip(after, before, strict=True)] == [n in (0, 2) for n in range(9)]
    assert page.inner_text("#tab-kept") == "Kept (1)"


def test_a_selection_is_placed_alone(page: Page, served: Running) -> None:
    find(page, "slams")
    settled(page)
    box = page.locator("#over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 40)
    page.mouse.up()
    page.fill("#sub", "cut/door")
    page.keyboard.press("Escape")
    assert page.inner_text("#place") == "Place part"
    page.keyboard.press("Enter")
    said(page, "Placed: .*wav")
    (placed,) = (served.place_folder / "cut" / "door").glob("*.wav")
    assert soundfile.info(placed).frames == pytest.approx(0.5 * 0.8 * 48000, rel=0.02)
    page.fill("#sub", "")
    page.dispatch_event("#sub", "change")


def test_kept_takes_come_as_a_zip_and_the_event_stream_says_when(page: Page) -> None:
    page.route(re.compile(r"/v1/jobs/[^/]+$"), lambda route: route.abort())  # only the stream can tell
    find(page, "slams")
    settled(page)
    for key in ("2", "k", "4", "k"):
        page.keyboard.press(key)
    page.click("#tab-kept")
    with page.expect_download(timeout=PATIENCE_S * 1000) as download:
        page.click("text=Download zip")
    names = zipfile.ZipFile(download.value.path()).namelist()
    kept = {seeds(page)[1], seeds(page)[3]}
    assert {re.search(r"-s(\d+)\.wav$", name).group(1) for name in names if name.endswith(".wav")} == kept  # type: ignore[union-attr]
    assert page.locator("#own-job").is_hidden()
    page.unroute_all()


def test_a_program_that_does_not_run_is_named_with_what_to_do(page: Page) -> None:
    page.route("**/v1/send/audacity", lambda route: route.fulfill(status=424, json=NOT_RUNNING))
    find(page, "slams")
    settled(page)
    page.keyboard.press("s")
    wait_for("the line", lambda: page.locator("#message").is_visible())
    assert page.inner_text("#message span") == "Audacity does not run. Start it."
    page.unroute_all()


def test_slots_are_assigned_and_emptied(page: Page, served: Running, shelf: FilledCatalog) -> None:
    find(page, "slams")
    page.click("#tab-slots")
    page.fill('[aria-label="Slot number"]', "17")
    page.click("text=Assign this sound")
    said(page, "lies on slot 17")
    assert served.client.get("/v1/slots/17").json()["ids"] == [shelf.id_of("slams")]
    page.click('[aria-label="Empty slot 17"]')
    said(page, "Slot 17 is empty")
    assert served.client.get("/v1/slots/17").status_code == 404


def test_filters_narrow_and_are_cleared(page: Page) -> None:
    everything = page.locator(".row").count()
    page.fill("#length-max", "0.35")
    wait_for("short ones", lambda: page.locator(".row").count() == 3)
    page.select_option("#channels", "2")
    wait_for("nothing", lambda: page.locator("#nothing").is_visible())
    page.click("#clear")
    wait_for("all", lambda: page.locator(".row").count() == everything)
    page.fill("#query", "duration:zzz")
    wait_for("the fault", lambda: page.locator("#message").is_visible())
    assert "duration" in page.inner_text("#message")
    page.fill("#query", "duration:1..")
    wait_for("the mended query", lambda: page.locator(".row").count() == 2)
    assert page.locator("#message").is_hidden()


def test_an_answer_that_comes_late_does_not_replace_a_newer_one(page: Page) -> None:
    held: list[Any] = []
    page.route(re.compile(r"/v1/search\?.*q=rain"), lambda route: held.append(route))
    page.fill("#query", "rain")
    wait_for("the first question", lambda: page.evaluate("1") and held)
    page.fill("#query", "creak")
    wait_for("the second answer", lambda: page.locator(".row").count() == 1)
    for route in held:
        route.continue_()
    page.wait_for_timeout(200)  # for an answer that must change nothing
    assert "creak" in page.inner_text(".row").lower()
    page.unroute_all()


# --- honesty ----------------------------------------------------------------------------------------------------------


def test_what_is_heard_is_named_with_its_rate_and_measured_quality(page: Page) -> None:
    find(page, "creak")
    wait_for("badges", lambda: page.locator("#badges .badge").count() == 3)
    assert "bands off by 1.7 dB" in page.inner_text("#badges")
    assert "kbit/s" in page.inner_text("#badges")
    settled(page)
    assert "It is not the recording" in page.inner_text("#ab-note")
    page.click("#tab-renditions")
    assert "not the recording" in page.inner_text("#pane-renditions")


def test_the_louder_side_is_turned_down_by_what_the_page_says(page: Page) -> None:
    find(page, "creak")
    settled(page)
    page.keyboard.press("a")
    wait_for("the original", lambda: page.get_attribute("#side-b", "aria-pressed") == "true", PATIENCE_S)
    found = re.search(r"([AB]) turned down by ([\d.]+) dB", page.inner_text("#ab-note"))
    assert found is not None
    page.keyboard.press("Escape")
    page.click(f"#side-{found.group(1).lower()}")
    matched = loudest(page, lambda: page.keyboard.press(" "))
    page.click("#open-settings")
    page.uncheck("#set-match")
    page.keyboard.press("Escape")
    wait_for("the note", lambda: "not matched" in page.inner_text("#ab-note"))
    alone = loudest(page, lambda: page.keyboard.press(" "))
    assert alone - matched == pytest.approx(float(found.group(2)), abs=0.3)


def test_an_original_that_is_gone_cannot_be_compared_and_the_page_says_why(page: Page) -> None:
    find(page, "rusty")
    settled(page)
    wait_for("the reason", lambda: "No A/B" in page.inner_text("#ab-note"))
    assert page.get_attribute("#side-b", "aria-disabled") == "true"
    page.keyboard.press("a")
    assert page.get_attribute("#side-a", "aria-pressed") == "true"


def test_a_sound_that_is_not_encoded_is_heard_as_the_original_and_says_so(page: Page) -> None:
    assert loudest(page, lambda: find(page, '"gravel 03"')) > -50
    assert page.get_attribute("#side-b", "aria-pressed") == "true"
    assert page.locator("#side-a").is_disabled()
    assert page.inner_text("#badges") == "not encoded"
    page.keyboard.press("Enter")
    wait_for("the line", lambda: page.locator("#message").is_visible())
    assert "spresso encode id:" in page.inner_text("#message")


# --- safety -----------------------------------------------------------------------------------------------------------


def test_hostile_catalog_text_stays_text(page: Page) -> None:
    find(page, "duration:0.4..0.4")
    wait_for("the name", lambda: page.inner_text("#name") == HOSTILE)
    for tab in ("renditions", "about", "kept", "slots", "variations"):
        page.click(f"#tab-{tab}")
    page.keyboard.press("k")
    page.click("#tab-kept")
    assert HOSTILE in page.inner_text("#pane-kept")
    assert page.locator("img:not(#top img)").count() == 0
    assert page.evaluate("window.stolen") is None


def test_the_code_works_once_and_the_token_is_nowhere_to_be_seen(context: BrowserContext, served: Running) -> None:
    url = fresh_url(served)
    page = context.new_page()
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto(url)
    page.wait_for_selector(".row")
    assert page.url == f"{served.url}/"
    page.reload()
    page.wait_for_selector(".row")  # the token outlives a reload of the tab
    page.go_back() if page.evaluate("history.length") > 2 else None
    visible = [page.content(), page.url, *seen, *(str(cookie) for cookie in context.cookies())]
    visible.append(page.evaluate("JSON.stringify(localStorage)"))
    assert not any(served.token in text for text in visible)
    assert not any("code=" in text for text in [page.content(), page.url])

    second = context.browser.new_context().new_page()  # type: ignore[union-attr]
    second.goto(url)
    second.wait_for_selector("#gate:visible")
    assert "used before" in second.inner_text("#gate")
    assert second.locator(".row").count() == 0
    second.context.close()


def test_without_a_key_the_page_says_what_to_run(context: BrowserContext, served: Running) -> None:
    page = context.new_page()
    page.goto(served.url)
    page.wait_for_selector("#gate:visible")
    assert "spresso bridge open" in page.inner_text("#gate")
    assert page.locator("#app").is_hidden()


def test_everything_comes_from_the_bridge_itself(page: Page, served: Running) -> None:
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(served.url) else None)
    page.reload()
    page.wait_for_selector(".row")
    find(page, "slams")
    settled(page)
    assert [url for url in foreign if not url.startswith("blob:")] == []


# --- a bridge that goes and comes -------------------------------------------------------------------------------------


def test_the_page_waits_for_a_bridge_that_went_and_says_that_its_key_is_old(
    context: BrowserContext, shelf: FilledCatalog, tmp_path: Path
) -> None:
    with running(shelf, tmp_path) as first:
        port = first.port
        page = context.new_page()
        page.goto(fresh_url(first))
        page.wait_for_selector(".row")
    wait_for("the link", lambda: page.get_attribute("#link", "data-state") == "away", PATIENCE_S)
    assert "spresso serve" in page.inner_text("#link")
    with running(shelf, tmp_path, port=port) as second:
        page.wait_for_selector("#gate:visible", timeout=PATIENCE_S * 1000)
        assert "started anew" in page.inner_text("#gate")
        other = context.new_page()
        other.goto(fresh_url(second))
        other.wait_for_selector(".row")
        page.wait_for_selector(".row", timeout=PATIENCE_S * 1000)  # let in by the other tab
        assert page.get_attribute("#link", "data-state") == "up"
        page.close()
        other.close()


def test_a_folder_that_is_allowed_later_can_be_chosen(
    context: BrowserContext, shelf: FilledCatalog, tmp_path: Path
) -> None:
    with running(shelf, tmp_path / "run", place_folders=[]) as bare:
        page = context.new_page()
        page.goto(fresh_url(bare))
        page.wait_for_selector(".row")
        assert page.locator("#dir").is_disabled()
        (tmp_path / "film").mkdir()
        PlaceFolders([], bare.bridge.settings.state_dir).allow(tmp_path / "film")
        wait_for("the folder", lambda: page.locator("#dir").is_enabled(), PATIENCE_S)
        assert page.input_value("#dir") == str(tmp_path / "film")
        page.close()


def test_after_a_click_on_a_button_the_keys_still_play(page: Page) -> None:
    find(page, "creak")
    settled(page)
    page.click("#loop")
    page.click("#volume")
    assert loudest(page, lambda: page.keyboard.press(" ")) > -60
    assert page.get_attribute("#loop", "aria-pressed") == "true"
    page.keyboard.press("l")
    page.keyboard.press("Escape")


def test_a_problem_is_one_line_with_what_to_do(context: BrowserContext, shelf: FilledCatalog, tmp_path: Path) -> None:
    with running(shelf, tmp_path, place_folders=[]) as bare:
        page = context.new_page()
        page.goto(fresh_url(bare))
        page.wait_for_selector(".row")
        find(page, "slams")
        page.keyboard.press("Enter")
        wait_for("the line", lambda: page.locator("#message").is_visible())
        assert "spresso bridge allow" in page.inner_text("#message")
        page.keyboard.press("Escape")
        assert page.locator("#message").is_hidden()
        page.close()


# --- many sounds ------------------------------------------------------------------------------------------------------


def test_ten_thousand_sounds_scroll_with_a_handful_of_rows(
    context: BrowserContext, tiny_bundle: Path, migrated_file: Path, tmp_path: Path
) -> None:
    file = Path(shutil.copy(migrated_file, tmp_path / "many.db"))
    catalog = open_catalog(file)
    fill(catalog, 10_000)
    catalog.close()
    with running(FilledCatalog(file, tmp_path, tiny_bundle, {}), tmp_path) as many:
        page = context.new_page()
        page.goto(fresh_url(many))
        page.wait_for_selector(".row")
        seen: set[str] = set()
        most = 0

        def bottom() -> bool:
            nonlocal most
            rows = page.eval_on_selector_all(".row", "rows => rows.map((row) => row.sound)")
            most = max(most, len(rows))
            seen.update(rows)
            page.eval_on_selector("#list", "list => { list.scrollTop = list.scrollHeight; }")
            return bool(page.inner_text("#count") == "10,000 sounds")

        wait_for("the last page", bottom, 120)
        assert most < 80
        assert len(seen) > 500
        page.focus("#list")

        def last() -> bool:
            page.keyboard.press("End")
            return page.get_attribute("#list", "aria-activedescendant") == "row-9999"

        wait_for("the last sound", last, PATIENCE_S)
        assert page.locator("#row-9999").is_visible()
        page.close()


# --- everybody --------------------------------------------------------------------------------------------------------

NAMELESS = """() => [...document.querySelectorAll('button, input, select, dialog, canvas, [role], [tabindex]')]
  .filter((e) => e.getAttribute('aria-hidden') !== 'true')
  .filter((e) => !['presentation', 'alert', 'status', 'search'].includes(e.getAttribute('role')))
  .filter((e) => !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim() ||
    document.getElementById(e.getAttribute('aria-labelledby') ?? '')?.textContent))
  .map((e) => e.outerHTML.slice(0, 120))"""

FAINT = """() => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = colour; probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c[3] === 255) return c; } return rgb('white'); };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    if (!e.checkVisibility() || e.disabled) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && !e.placeholder) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push([e.tagName, e.className, e.textContent.slice(0, 30), ratio.toFixed(2)].join(' '));
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", [DARK, LIGHT])
@pytest.mark.parametrize("size", [(1280, 720), (1600, 1000)])
def test_every_control_has_a_name_contrast_and_room(
    browser: Browser, served: Running, scheme: Any, size: tuple[int, int]
) -> None:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(fresh_url(served))
    page.wait_for_selector(".row")
    find(page, "creak")
    settled(page)
    for tab in ("renditions", "about", "kept", "slots", "variations"):
        page.click(f"#tab-{tab}")
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(FAINT) == []
    page.focus("#list")
    for key in ("ArrowRight", "ArrowRight", "["):  # a selection makes the longest labels
        page.keyboard.press(key)
    wait_for("the selection", lambda: page.inner_text("#place") == "Place part")
    clipped = page.evaluate(
        """() => [...document.querySelectorAll('#top *, #filters *, #transport *, #tabs *, #deliver *')]
          .filter((e) => e.checkVisibility() && e.tagName !== 'OPTION')
          .map((e) => [e, e.getBoundingClientRect()])
          .filter(([, { right, bottom }]) => right > innerWidth + 0.5 || bottom > innerHeight)
          .map(([e]) => e.outerHTML.slice(0, 90))"""
    )
    assert clipped == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page: Page) -> None:
    find(page, "creak")
    settled(page)
    page.focus("#query")
    reached, rings = set(), []
    for _ in range(60):
        page.keyboard.press("Tab")
        where, ring = page.evaluate(
            "(({ activeElement: e }) => [e.id || e.className, getComputedStyle(e).outlineStyle])(document)"
        )
        reached.add(where)
        if where:
            rings.append(ring)
    wanted = {
        "list",
        "over",
        "play",
        "loop",
        "side-a",
        "side-b",
        "tab-variations",
        "reroll",
        "hear",
        "keep",
        "dir",
        "place",
    }
    assert wanted <= reached
    assert set(rings) == {"solid"}
    page.keyboard.press("Escape")


def test_the_list_tells_assistive_programs_what_is_chosen(page: Page) -> None:
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    active = page.get_attribute("#list", "aria-activedescendant")
    option = page.locator(f"#{active}")
    assert (option.get_attribute("role"), option.get_attribute("aria-selected")) == ("option", "true")
    assert re.search(r"mono|stereo", option.get_attribute("aria-label") or "")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    assert "play, stop" in page.inner_text("#keys")
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()
