"""`spresso worker`: what it hands to the processes that it starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from spresso_assets.cli.worker import _settings_of
from spresso_assets.config import load_settings


def test_a_password_that_lies_in_a_file_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "catalog-url"
    secret.write_text("postgresql://team:canary@db/sounds\n")
    monkeypatch.delenv("SPRESSO_CATALOG", raising=False)
    monkeypatch.setenv("SPRESSO_CATALOG_FILE", str(secret))
    monkeypatch.setenv("SPRESSO_BROKER_URL", "redis://here")
    handed = _settings_of(SimpleNamespace(settings=load_settings()))  # type: ignore[arg-type]
    assert "canary" not in str(handed) and handed["SPRESSO_BROKER_URL"] == "redis://here"
    chosen = load_settings(overrides={"catalog": "other.db"})  # an option wins over the file
    assert _settings_of(SimpleNamespace(settings=chosen))["SPRESSO_CATALOG"] == "other.db"  # type: ignore[arg-type]
