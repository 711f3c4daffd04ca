from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from spresso_assets.audio.opening import open_regular, reading_fault, short_name
from spresso_assets.errors import FaultKind, SpressoError


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as file:
        assert file.read() == b"x"


def test_a_name_with_a_nul_is_an_error_with_a_code() -> None:
    with pytest.raises(SpressoError) as caught:
        open_regular("a\0b")
    assert caught.value.code == "file_missing"


def test_faults_of_a_share_may_pass() -> None:
    assert reading_fault("x.wav", OSError(errno.ESTALE, "Stale file handle")).kind is FaultKind.RETRYABLE
    assert reading_fault("x.wav", OSError(errno.ELOOP, "loop")).kind is FaultKind.PERMANENT


def test_names_are_shown_on_one_line() -> None:
    assert short_name("dir/new\nline\x1b[31m.wav") == "new?line?[31m.wav"
    assert short_name(os.fsdecode(b"dir/\xff\xfe.wav")) == "??.wav"
    assert len(short_name("x" * 250 + ".wav")) == 80
