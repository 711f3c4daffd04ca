"""Tokens and one-time codes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from plugin_bridge.tokens import MAX_CODES, Tokens, kept_dav_token
from spresso_assets.errors import SpressoError


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_tokens_are_long_and_of_their_own() -> None:
    made = [Tokens() for _ in range(20)]
    secrets = {secret for tokens in made for secret in (tokens.token, tokens.dav_token)}
    assert len(secrets) == 40
    assert min(map(len, secrets)) >= 43  # 256 bits in base 64


def test_only_the_token_is_admitted() -> None:
    tokens = Tokens("a" * 43, "b" * 43)
    assert tokens.admits("a" * 43) and not tokens.admits_dav("a" * 43)
    assert tokens.admits_dav("b" * 43) and not tokens.admits("b" * 43)
    for wrong in ("", "a" * 42, "a" * 44, "A" * 43, "ä" * 43, "\ud800"):
        assert not tokens.admits(wrong) and not tokens.admits_dav(wrong)


def test_a_code_buys_the_token_once() -> None:
    tokens = Tokens()
    code = tokens.new_code()
    assert tokens.redeem(code) == tokens.token
    with pytest.raises(SpressoError, match="bad_code"):
        tokens.redeem(code)


def test_a_code_is_of_no_use_after_five_minutes() -> None:
    clock = Clock()
    tokens = Tokens(clock=clock)
    early, late = tokens.new_code(), tokens.new_code()
    clock.now += 299
    assert tokens.redeem(early) == tokens.token
    clock.now += 2
    with pytest.raises(SpressoError, match="bad_code"):
        tokens.redeem(late)


def test_codes_do_not_pile_up() -> None:
    tokens = Tokens()
    codes = [tokens.new_code() for _ in range(MAX_CODES + 1)]
    with pytest.raises(SpressoError, match="bad_code"):
        tokens.redeem(codes[0])
    assert all(tokens.redeem(code) == tokens.token for code in codes[1:])


def test_logs_show_no_secret() -> None:
    tokens = Tokens()
    code = tokens.new_code()
    line = f"GET /dav/{tokens.dav_token}/x with {tokens.token} and ?code={code}"
    assert tokens.scrub(line) == "GET /dav/***/x with *** and ?code=***"


def test_the_folder_keeps_its_token_until_a_person_wants_another(tmp_path: Path) -> None:
    first = kept_dav_token(tmp_path / "state")
    assert kept_dav_token(tmp_path / "state") == first
    assert stat.S_IMODE((tmp_path / "state" / "dav-token").stat().st_mode) == 0o600
    second = kept_dav_token(tmp_path / "state", anew=True)
    assert second != first and kept_dav_token(tmp_path / "state") == second


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff\xfe" * 40])
def test_a_damaged_token_file_gives_a_new_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dav-token").write_bytes(content)
    assert len(kept_dav_token(tmp_path)) >= 43
