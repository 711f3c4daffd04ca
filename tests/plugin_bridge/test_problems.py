"""Errors as HTTP answers."""

from __future__ import annotations

import json

import pytest

from plugin_bridge.problems import STATUSES, encode_problem, status_of
from spresso_assets.errors import ExitCode, FaultKind, SpressoError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpressoError("x", code="asset_not_found"), 404),
        (SpressoError("x", code="made_up", exit_code=ExitCode.USAGE), 400),
        (SpressoError("x", code="made_up", exit_code=ExitCode.NOT_FOUND), 404),
        (SpressoError("x", code="catalog_locked", exit_code=ExitCode.CATALOG_LOCKED), 503),
        (SpressoError("x", code="made_up", exit_code=ExitCode.MODEL_MISSING), 503),
        (SpressoError("x", code="made_up", kind=FaultKind.RETRYABLE), 503),
        (SpressoError("x", code="made_up", kind=FaultKind.ENVIRONMENT), 503),
        (SpressoError("x", code="truncated_file"), 422),
        (SpressoError("x"), 500),
    ],
)
def test_the_error_decides_the_status(error: SpressoError, status: int) -> None:
    assert status_of(error) == status


def test_a_problem_says_what_happened_and_what_to_do() -> None:
    error = SpressoError("the disk is full", code="disk_full", hint="Free some space.")
    status, headers, body = encode_problem(error)
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body) == {
        "type": "urn:spresso:problem:disk_full", "title": "Insufficient Storage", "status": 507,
        "detail": "the disk is full", "code": "disk_full", "hint": "Free some space.",
    }  # fmt: skip
    assert status == 507


def test_busy_says_when_to_come_back() -> None:
    busy = SpressoError("x", code="too_many_decodes", details={"retry_after_s": 2.6})
    assert encode_problem(busy)[:2] == (429, {**encode_problem(busy)[1], "retry-after": "3"})
    assert int(encode_problem(SpressoError("x", code="root_offline"))[1]["retry-after"]) >= 1
    assert "retry-after" not in encode_problem(SpressoError("x", code="not_found"))[1]


def test_a_range_that_is_not_there_says_how_long_the_file_is() -> None:
    error = SpressoError("x", code="range_not_satisfiable", details={"size": 100})
    assert encode_problem(error)[1]["content-range"] == "bytes */100"


def test_every_status_is_one_of_http() -> None:
    for code in STATUSES:
        status, _, body = encode_problem(SpressoError("x", code=code))
        assert 400 <= status < 600 and json.loads(body)["title"]
