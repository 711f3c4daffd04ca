"""Settings: which source wins, and that a wrong name or value is said, not swallowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from spresso_assets.config import load_settings
from spresso_assets.errors import SpressoError


def test_default_catalog_lives_in_the_data_folder(tmp_path: Path) -> None:
    settings = load_settings(env={"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    assert settings.catalog == str(tmp_path / "spresso" / "catalog.db")


def test_option_beats_environment_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('catalog = "file.db"\nsettle_s = 7\nrescan_s = 60\n')
    env = {"SPRESSO_SETTLE_S": "3", "SPRESSO_CATALOG": "env.db", "SPRESSO_CONFIG": str(file)}
    settings = load_settings(env=env, overrides={"catalog": "option.db", "bundle": None})
    assert (settings.catalog, settings.settle_s, settings.rescan_s) == ("option.db", 3.0, 60.0)


@pytest.mark.parametrize("text", ["catalogue = 'x'\n", "settle_s = 'soon'\n", "= nonsense\n"])
def test_wrong_settings_name_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(SpressoError) as caught:
        load_settings(env={}, file=file)
    assert caught.value.code == "config_invalid"
    assert str(file) in str(caught.value)


def test_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SpressoError) as caught:
        load_settings(env={"SPRESSO_CONFIG": str(tmp_path / "none.toml")})
    assert caught.value.code == "config_missing"


def test_broker_password_is_not_printed(tmp_path: Path) -> None:
    settings = load_settings(
        env={"SPRESSO_BROKER_URL": "redis://:canary@localhost/0", "XDG_CONFIG_HOME": str(tmp_path)}
    )
    assert "canary" not in repr(settings)
