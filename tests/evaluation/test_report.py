"""The pages as text: whole, escaped, and able to hold all they show. tests/hosts opens them in a browser."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from spresso_assets.evaluation import report
from spresso_assets.evaluation.comparison import Comparison, compare_systems
from spresso_assets.evaluation.listening import Listening, badness, fill
from spresso_assets.evaluation.mushra import mushra_page
from spresso_assets.evaluation.records import Records
from spresso_assets.evaluation.report import report_page
from spresso_assets.evaluation.sounds import Sound
from spresso_assets.evaluation.systems import entries
from tests.evaluation.rough import Rough, sounds

HOSTILE = "</script><script>alert(1)</script>'\"&.wav"


def given() -> list[Sound]:
    first, second, third = sounds(3)
    return [first, second, (HOSTILE, *third[1:])]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Listening, Path]:
    folder = tmp_path_factory.mktemp("report")
    (folder / "audio").mkdir()
    listening = Listening(folder / "audio", {})
    systems = entries([Rough()])
    found = compare_systems(systems, given(), Records({"seconds": None, "seed": 0}))
    fill(listening, systems, given(), lambda *_: None, lambda _: None)
    return found, listening, folder / "report.html"


class Tags(HTMLParser):
    """Tags that are still open at the end, and every address."""

    VOID = ("meta", "img", "input", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.count: dict[str, int] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.addresses += [value for name, value in attrs if name in ("src", "href", "data-sound") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.open)


def test_the_page_is_whole_and_names_files_that_are_there(made: tuple[Comparison, Listening, Path]) -> None:
    found, listening, page = made
    tags = Tags(report_page(found, listening, page, title="Sounds of <b>"))
    assert tags.open == [] and tags.count["script"] == 3 and "b" in tags.count
    assert len(tags.addresses) == 3 * 3 * 2  # original and two points of three sounds, sound and picture each
    assert all((page.parent / address).is_file() for address in tags.addresses)


def test_hostile_names_stay_text(made: tuple[Comparison, Listening, Path]) -> None:
    found, listening, page = made
    for text in (
        report_page(found, listening, page, title=HOSTILE),
        mushra_page(listening, found.sounds, [("rough", "rough 3 bit")], page, title=HOSTILE),
    ):
        assert Tags(text).count["script"] == 3 and "<script>alert" not in text
        data = re.search(r"id='data'>(.*?)</script>", text)
        assert data is not None and isinstance(json.loads(data[1]), dict)


def test_the_worst_sounds_come_first_and_figures_are_those_of_the_comparison(
    made: tuple[Comparison, Listening, Path],
) -> None:
    found, listening, page = made
    text = report_page(found, listening, page, title="t")
    names = [html.unescape(name) for name in re.findall(r"<summary><b>(.*?)</b>", text)]
    assert names == list(badness(found))
    values = [float(v) for v in re.findall(r"<tr><th scope='row'>.*?</th><td data-v='([\d.]+)'", text)]
    assert values == pytest.approx([row.kbps for row in found.rows], rel=1e-6)


def test_of_a_thousand_sounds_the_worst_are_listed(
    made: tuple[Comparison, Listening, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, listening, page = made
    monkeypatch.setattr(report, "LISTED", 2)
    text = report_page(found, listening, page, title="t")
    assert text.count("<details") == 2 and "1 more, all better" in text


def test_sounds_go_into_the_page_up_to_a_limit(
    made: tuple[Comparison, Listening, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, listening, page = made
    whole = Tags(report_page(found, listening, page, title="t", embed=True))
    assert len(whole.addresses) == 18 and all(a.startswith("data:") for a in whole.addresses)
    size = sum(f.stat().st_size for f in listening.folder.iterdir())
    monkeypatch.setattr(report, "EMBED_LIMIT", size // 2)
    text = report_page(found, listening, page, title="t", embed=True)
    kept = Tags(text).addresses
    assert len(kept) in (6, 12) and sum(map(len, kept)) < size // 2 + 2000
    assert "No sounds were kept" in text and text.index("data:audio") < text.index("No sounds were kept")
