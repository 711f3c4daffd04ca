"""`spresso shelf`: what it says where it cannot run. The window itself is tested with the bridge."""

from __future__ import annotations

import sys

import pytest

from tests.cli.conftest import Spresso


def test_without_its_extra_it_says_what_to_install(spresso: Spresso, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PySide6", None)
    result = spresso("shelf")
    assert result.code == 1
    assert "spresso-assets[shelf]" in result.err and "shelf_extra_missing" in result.err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a screen")
def test_without_a_screen_it_ends_with_a_word(spresso: Spresso, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    result = spresso("shelf")
    assert result.code == 1 and "no_display" in result.err
