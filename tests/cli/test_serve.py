"""`spresso serve` where it does not get to serve; tests/plugin_bridge/test_server.py lets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Spresso


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SPRESSO_BRIDGE", raising=False)


def test_a_catalog_that_is_not_there_is_said(spresso: Spresso) -> None:
    result = spresso("serve", "--port", "0")
    assert result.code == 10 and "catalog_missing" in result.err


@pytest.mark.parametrize(
    "options",
    [("--decode", "cloud"), ("--allow", "/"), ("--allow", "/no/such/folder"), ("--port", "70000"), ("--ram-mb", "-1")],
)
def test_wrong_options_are_said(filled: Spresso, options: tuple[str, ...]) -> None:
    result = filled("serve", *options)
    assert result.code == 2 and "Traceback" not in result.err


def test_options_arrive_at_the_bridge(filled: Spresso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugin_bridge import server

    served = []

    def serve(bridge, listening):  # type: ignore[no-untyped-def]
        served.append(bridge)
        listening()

    monkeypatch.setattr(server, "serve", serve)
    (tmp_path / "placed").mkdir()
    options = ("--port", "8123", "--allow", tmp_path / "placed", "--cache", tmp_path / "cache", "--cache-gb", "0.5")
    told = filled.ok("serve", *options, "--ram-mb", "64", "--json")
    (bridge,) = served
    assert told.json["page"].startswith("http://127.0.0.1:8123/?code=")
    assert bridge.tokens.redeem(told.json["page"].partition("=")[2]) == bridge.tokens.token
    assert bridge.tokens.token not in told.out + told.err
    settings = bridge.settings
    assert (settings.port, settings.ram_bytes, settings.disk_bytes) == (8123, 64_000_000, 500_000_000)
    assert settings.cache_dir == tmp_path / "cache" and bridge.place_folders() == [tmp_path / "placed"]
    assert bridge.model_name and bridge.weights_sha256


def test_without_a_model_it_says_what_that_means(
    filled: Spresso, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plugin_bridge import server

    monkeypatch.setattr(server, "serve", lambda bridge, listening: listening())
    monkeypatch.setenv("SPRESSO_BUNDLE", str(tmp_path / "nothing"))
    result = filled.ok("serve")
    assert "can be searched, not heard" in result.err
    # workers have a model of their own
    assert "not heard" not in filled.ok("serve", "--decode", "workers").err
