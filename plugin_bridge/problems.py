"""Errors as HTTP answers: the right status and an `application/problem+json` body (RFC 9457), whatever went wrong.

Every `SpressoError` may leave an endpoint; its code decides the status. Codes that are not listed are judged by what
the error says of itself: wrong usage is 400, what may work later is 503, a sound that can never be had is 422.
"""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from spresso_assets.errors import ExitCode, FaultKind, SpressoError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response

    from plugin_bridge.bridge import Bridge

MEDIA_TYPE = "application/problem+json"

# Where the code of an error alone says which status it is. Details may hold `retry_after_s` for 429 and 503, and
# `size` in bytes for 416.
STATUSES = {
    "bad_request": 400,
    "bad_code": 403,
    "bad_host": 421,
    "foreign_origin": 403,
    "token_missing": 401,
    "not_found": 404,
    "asset_not_found": 404,
    "not_encoded": 404,
    "file_missing": 404,
    "ambiguous_id": 400,
    "job_not_found": 404,
    "empty_slot": 404,
    "not_acceptable": 406,
    "folder_not_allowed": 403,
    "folder_not_writable": 403,
    "file_exists": 409,
    "cannot_write": 409,
    "not_a_folder": 409,
    "target_in_root": 409,
    "manifest_foreign": 409,
    "not_finished": 409,
    "original_changed": 409,
    "superseded": 409,
    "body_too_slow": 408,
    "body_too_large": 413,
    "take_too_long": 413,
    "job_too_large": 413,
    "target_too_long": 414,
    "not_json": 415,
    "range_not_satisfiable": 416,
    "target_not_running": 424,
    "too_many_decodes": 429,
    "too_many_jobs": 429,
    "too_many_listeners": 429,
    "failed": 500,
    "internal": 500,
    "decode_failed": 500,
    "decode_incomplete": 500,
    "not_supported": 501,
    "root_offline": 503,
    "model_missing": 503,
    "wrong_model": 503,
    "disk_full": 507,
}
BY_EXIT_CODE = {
    ExitCode.USAGE: 400,
    ExitCode.NOT_FOUND: 404,
    ExitCode.CATALOG_MISSING: 503,
    ExitCode.CATALOG_LOCKED: 503,
    ExitCode.BROKER_UNREACHABLE: 503,
    ExitCode.MODEL_MISSING: 503,
    ExitCode.ROOT_OFFLINE: 503,
}
BUSY_S = 1  # what a client is told to wait when nobody knows better

log = logging.getLogger("spresso.bridge")


def status_of(error: SpressoError) -> int:
    """The HTTP status that says what an error says."""
    if (status := STATUSES.get(error.code) or BY_EXIT_CODE.get(error.exit_code)) is not None:
        return status
    return 422 if error.kind is FaultKind.PERMANENT else 503


def problem(status: int, code: str, detail: str, hint: str = "") -> dict[str, Any]:
    """The body of an answer that is an error."""
    return {
        "type": f"urn:spresso:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "hint": hint,
    }


def encode_problem(error: SpressoError, status: int | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for an error."""
    status = status or status_of(error)
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = str(max(1, round(error.details.get("retry_after_s", BUSY_S))))
    if status == 416 and "size" in error.details:
        headers["content-range"] = f"bytes */{error.details['size']}"
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    body = json.dumps(problem(status, error.code, error.message, error.hint)).encode()
    return status, headers, body


def response(error: SpressoError, status: int | None = None, headers: Mapping[str, str] | None = None) -> "Response":
    """The same as an answer of an endpoint."""
    from starlette.responses import Response

    status, own, body = encode_problem(error, status)
    return Response(body, status, {**own, **(headers or {})})


def install(app: "FastAPI", bridge: "Bridge") -> None:
    """Let every error of an endpoint become a problem."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    async def ours(request: Request, error: Exception) -> "Response":
        assert isinstance(error, SpressoError)
        return response(error)

    async def invalid(request: Request, error: Exception) -> "Response":
        assert isinstance(error, RequestValidationError)
        return response(_invalid(error.errors()))

    async def routing(request: Request, error: Exception) -> "Response":
        assert isinstance(error, HTTPException)
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        told = {
            404: "there is nothing at this address",
            405: f"this address does not answer {request.method}",
        }.get(error.status_code, str(error.detail))
        hint = "GET /openapi.json lists every address." if error.status_code in (404, 405) else ""
        return response(SpressoError(told, code=code, hint=hint), error.status_code, error.headers)

    async def unknown(request: Request, error: Exception) -> "Response":
        log.error("%s %s failed", request.method, bridge.tokens.scrub(request.url.path), exc_info=error)
        fault = "the bridge failed to answer; its log says why"
        return response(SpressoError(fault, code="internal", hint="Please report it with the log."), 500)

    app.add_exception_handler(SpressoError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(Exception, unknown)


def _invalid(errors: Any) -> SpressoError:
    """The first thing that is wrong with a request, by name; what was sent is not repeated."""
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return SpressoError(
        f"{where}: {first['msg']}",
        code="bad_request",
        hint="GET /openapi.json says what this address takes.",
    )
