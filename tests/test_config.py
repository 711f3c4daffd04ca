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


@pytest.mark.parametrize("name", ["catalog", "broker_url"])
def test_urls_with_passwords_may_lie_in_files(tmp_path: Path, name: str) -> None:
    secret, config = tmp_path / "secret", tmp_path / "config.toml"
    url = "postgresql://spresso:canary@db/spresso" if name == "catalog" else "redis://:canary@broker/0"
    secret.write_text(url + "\n")
    config.write_text(f'{name} = "from the settings file"\n')
    env = {"SPRESSO_CONFIG": str(config), f"SPRESSO_{name.upper()}_FILE": str(secret)}
    value = getattr(load_settings(env=env), name)
    assert (value if name == "catalog" else value.get_secret_value()) == url
    # What was said more plainly wins: a worker hands its settings to its children so.
    assert load_settings(env=env, overrides={"catalog": "option.db"}).catalog == "option.db"
    assert load_settings(env={**env, "SPRESSO_CATALOG": "plain.db"}).catalog == "plain.db"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "config_missing"),
        ("", "config_invalid"),
        ("redis://:canary@a/0\nredis://:canary@b/0", "config_invalid"),
    ],
    ids=["no file", "empty", "two lines"],
)
def test_a_wrong_secret_is_said_without_saying_it(tmp_path: Path, content: str | None, code: str) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    env = {"XDG_CONFIG_HOME": str(tmp_path), "SPRESSO_BROKER_URL_FILE": str(secret)}
    with pytest.raises(SpressoError) as caught:
        load_settings(env=env)
    assert caught.value.code == code
    assert "SPRESSO_BROKER_URL_FILE" in str(caught.value) and "canary" not in str(caught.value)


def test_only_secrets_have_a_file_form(tmp_path: Path) -> None:
    """A file named by mistake must not be read as the value of another setting."""
    (tmp_path / "workers").write_text("7")
    env = {"XDG_CONFIG_HOME": str(tmp_path), "SPRESSO_WORKERS_FILE": str(tmp_path / "workers")}
    assert load_settings(env=env).workers == 1
