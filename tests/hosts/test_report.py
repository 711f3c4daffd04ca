"""The report and the listening test in a real Chromium, opened from the disk as people open them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spresso_assets.evaluation.comparison import Comparison, compare_systems
from spresso_assets.evaluation.listening import Listening, badness, fill
from spresso_assets.evaluation.mushra import COLUMNS, mushra_page, verdict
from spresso_assets.evaluation.records import Records
from spresso_assets.evaluation.report import report_page
from spresso_assets.evaluation.systems import entries
from tests.evaluation.rough import Rough, sounds
from tests.hosts.browser import chromium, complaints, needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

needs_chromium()

NAMES = ["sound 0", "sound 1", "sound 2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report and test of three sounds in two systems; once with files beside them, once as single files."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "audio").mkdir()
    listening = Listening(folder / "audio", {})
    systems = entries([Rough(), Rough("other", 48_000)])
    found = compare_systems(systems, sounds(3), Records({"seconds": None, "seed": 0}))
    fill(listening, systems, sounds(3), lambda *_: None, lambda _: None)
    points = [entry.key for entry in systems]
    for name, embed in (("", False), ("-whole", True)):
        report, test = folder / f"report{name}.html", folder / f"test{name}.html"
        report.write_text(report_page(found, listening, report, title="Three sounds", embed=embed))
        test.write_text(mushra_page(listening, NAMES, points, test, title="Listening test", embed=embed))
    (folder / "comparison.json").write_text(found.to_json())
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(accept_downloads=True)
    errors = complaints(page)
    yield page
    page.close()
    assert errors == []


# Which of the sounds of the open player is heard: runs, and is not muted.
HEARD = """() => {
  const deck = document.querySelector('.sound[open]').player.deck;
  return deck.tracks.flatMap((t, n) => !t.paused && !t.muted ? [n] : []);
}"""


def wait_heard(page: Page, which: list[int]) -> None:
    page.wait_for_function(f"() => JSON.stringify(({HEARD})()) === '{which}'.replaceAll(' ', '')")


@pytest.mark.parametrize("file", ["report.html", "report-whole.html"])
def test_sounds_play_and_change_without_a_jump(page: Page, folder: Path, file: str) -> None:
    page.goto((folder / file).as_uri())
    page.locator(".sound summary").first.click()
    page.keyboard.press("a")
    wait_heard(page, [0])
    page.wait_for_function("() => document.querySelector('.sound[open]').player.deck.tracks[0].currentTime > 0.1")
    # In one task, in which no sound runs on: the second one is where the first one is.
    times = page.evaluate("""() => {
      document.dispatchEvent(new KeyboardEvent('keydown', {key: 'b'}));
      return document.querySelector('.sound[open]').player.deck.tracks.map((track) => track.currentTime);
    }""")
    assert abs(times[0] - times[1]) < 0.025
    assert max(times) - min(times) < 0.15 and min(times) >= 0
    wait_heard(page, [1])
    page.keyboard.press("ArrowRight")
    wait_heard(page, [2])
    page.keyboard.press(" ")
    wait_heard(page, [])
    # All pictures are there, and every sound has its length.
    assert page.evaluate("() => [...document.querySelectorAll('.sound[open] img')].every(i => i.naturalHeight === 96)")
    lengths = page.evaluate("() => document.querySelector('.sound[open]').player.deck.tracks.map(t => t.duration)")
    assert len(lengths) == 5 and all(abs(length - 0.6) < 0.01 for length in lengths)


def test_a_key_at_once_after_opening_is_heard(page: Page, folder: Path) -> None:
    page.goto((folder / "report.html").as_uri())
    # Both in one task: the browser has had no time to tell the page that the box is open.
    page.evaluate("""() => {
      document.querySelector('.sound summary').click();
      document.dispatchEvent(new KeyboardEvent('keydown', {key: 'a'}));
    }""")
    wait_heard(page, [0])
    # As little for a box that is closed again: nothing plays in it, and keys go nowhere.
    running = page.evaluate("""() => {
      const box = document.querySelector('.sound');
      box.querySelector('summary').click();
      document.dispatchEvent(new KeyboardEvent('keydown', {key: 'b'}));
      return box.player.deck.tracks.some((track) => !track.paused);
    }""")
    assert not running


def test_x_is_one_of_both_and_is_not_shown_until_guessed(page: Page, folder: Path) -> None:
    page.goto((folder / "report.html").as_uri())
    page.locator(".sound summary").first.click()
    right = 0
    for turn in range(6):
        page.keyboard.press("x")
        page.wait_for_function(f"() => ({HEARD})().length === 1")
        (heard,) = page.evaluate(HEARD)
        assert heard in (0, 1) and page.locator(".card.heard").count() == 0
        page.keyboard.press("1")  # "it is the original"
        right += heard == 0
        told = page.locator(".bar [role=status]").inner_text()
        assert told.startswith(f"It was {'AB'[heard]}. {right} of {turn + 1} right"), told
    # The chance to do as well by guessing, by hand for the first guess of another system.
    page.keyboard.press("ArrowRight")
    page.evaluate("() => { document.querySelector('.sound[open]').player.secret = 1; }")
    page.keyboard.press("2")
    assert page.locator(".bar [role=status]").inner_text().endswith("1 of 1 right; by guessing: 50 %")


def test_tables_and_sounds_can_be_sorted(page: Page, folder: Path) -> None:
    page.goto((folder / "report.html").as_uri())
    names = page.locator(".sound summary b").all_text_contents()
    comparison = Comparison.read(folder / "comparison.json")
    assert names == list(badness(comparison))
    heads = page.locator("#figures thead th")
    mel = heads.locator("button", has_text="mel distance")
    for order in ("ascending", "descending"):
        mel.click()
        assert heads.nth(2).get_attribute("aria-sort") == order
        values = page.locator("#figures tbody td:nth-child(3)").evaluate_all("cells => cells.map(c => +c.dataset.v)")
        assert len(values) == 4 and values == sorted(values, reverse=order == "descending")
    page.locator("#worst").select_option("2")
    row = comparison.rows[2]
    mine = [r for r in comparison.records if (r["method"], r["profile"]) == (row.system, row.point)]
    by_one = [r["sound"] for r in sorted(mine, key=lambda r: -r["metrics"]["mel_distance"])]
    assert page.locator(".sound summary b").all_text_contents() == by_one
    page.locator("#worst").select_option("")
    assert page.locator(".sound summary b").all_text_contents() == names


def test_it_is_readable_in_the_dark_and_on_a_phone(browser: Browser, folder: Path) -> None:
    with browser.new_context(color_scheme="dark", viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        page.goto((folder / "report.html").as_uri())
        back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in back[4:-1].split(",")) < 60
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def begin(page: Page, folder: Path, file: str, name: str) -> None:
    page.goto((folder / file).as_uri())
    page.get_by_label("Your name or number").fill(name)
    page.keyboard.press("Enter")
    start = page.get_by_role("button", name="Start the test")
    assert start.is_disabled()
    for letter in "abcdef":
        page.keyboard.press(letter)
    assert start.is_enabled()
    start.click()


def rate_all(page: Page) -> str:
    """Go through the three sounds with the keyboard, giving 100 to slot B, C and D; returns the saved file's name."""
    for trial in range(1, 4):
        assert page.locator("h2").inner_text() == f"Sound {trial} of 3"
        go_on = page.get_by_role("button", name="Next sound" if trial < 3 else "Finish")
        # Every version is heard by its key; its slider then has the keyboard.
        for n, letter in enumerate("abcdef"):
            assert go_on.is_disabled()
            page.keyboard.press(letter)
            assert page.evaluate("() => document.activeElement.ariaLabel") == f"Rating of {letter.upper()}"
            page.keyboard.press("End" if n == trial else "ArrowUp")
        assert page.locator("output").all_inner_texts()[trial] == "100"
        go_on.click()
    return page.get_by_text("Save the answers").get_attribute("download") or ""


def saved(page: Page, file: Path) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_text("Save the answers").click()
    download.value.save_as(file)
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_listener_rates_all_and_saves_the_answers(page: Page, folder: Path, tmp_path: Path) -> None:
    begin(page, folder, "test.html", "=Ann, the 2nd")
    assert rate_all(page) == "ratings--Ann-the-2nd.csv"
    rows = saved(page, tmp_path / "answers.csv")
    assert tuple(rows[0]) == COLUMNS and len(rows) == 18
    assert {row["listener"] for row in rows} == {"'=Ann, the 2nd"}  # no formula for a table program
    for trial in ("1", "2", "3"):
        mine = [row for row in rows if row["trial"] == trial]
        assert [row["slot"] for row in mine] == list("ABCDEF")
        assert sorted(row["system"] for row in mine) == ["anchor", "other", "other", "reference", "rough", "rough"]
        assert [row["score"] for row in mine].count("100") == 1 and mine[int(trial)]["score"] == "100"
        assert all(int(row["plays"]) >= 1 for row in mine)
    assert sorted({row["sound"] for row in rows}) == NAMES
    assert verdict([tmp_path / "answers.csv"]).listeners == 1


def test_every_listener_has_another_order(page: Page, folder: Path, tmp_path: Path) -> None:
    orders = []
    for name in ("ann", "bob"):
        begin(page, folder, "test-whole.html", name)
        rate_all(page)
        rows = saved(page, tmp_path / f"{name}.csv")
        orders.append([(row["sound"], row["system"], row["point"]) for row in rows])
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_what_plays_is_what_is_rated(page: Page, folder: Path, tmp_path: Path) -> None:
    """The sound behind each slider is the one whose system gets its score; the open reference is the original."""
    page.add_init_script(
        "const A = Audio; window.made = []; Audio = function () { const a = new A(); made.push(a); return a; };"
    )
    begin(page, folder, "test.html", "ann")
    page.keyboard.press("c")
    page.wait_for_function("() => { const a = made.at(-4); return !a.muted && !a.paused && a.currentTime > 0; }")
    assert page.evaluate("() => made.filter(a => !a.muted && !a.paused).length") == 1
    rate_all(page)
    told = page.evaluate("() => JSON.parse(document.getElementById('data').textContent).trials")
    behind = {c["url"]: (t["sound"], c["system"], c["point"]) for t in told for c in t["conditions"]}
    heard = [behind[address] for address in page.evaluate("() => made.map(a => a.getAttribute('src'))")]
    rows = [(row["sound"], row["system"], row["point"]) for row in saved(page, tmp_path / "ann.csv")]
    for trial in range(3):
        reference, *slots = heard[7 * (trial + 1) :][:7]  # those of the training come first
        assert reference == (slots[0][0], "reference", "")
        assert slots == rows[6 * trial :][:6]
