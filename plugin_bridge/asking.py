"""Ask a running bridge something, from another process of the same machine."""

import http.client
import json
from typing import Any

from plugin_bridge.discovery import Discovery
from spresso_assets.errors import ExitCode, FaultKind, SpressoError


def ask(known: Discovery, method: str, path: str, body: Any = None, *, patience_s: float = 30.0) -> Any:
    """One request; returns the decoded JSON of the answer.

    Args:
        known: from the discovery file.
        body: sent as JSON, if there is one or the method wants one.

    Raises:
        SpressoError: ``bridge_not_running`` when nothing that speaks HTTP is there; else with the code of the problem.
    """
    headers = {"Authorization": f"Bearer {known.token}"}
    sent = None
    if method in ("POST", "PUT"):
        headers["Content-Type"] = "application/json"
        sent = json.dumps({} if body is None else body).encode()
    # not urllib: it would ask the proxy that the environment names
    connection = http.client.HTTPConnection("127.0.0.1", known.port, timeout=patience_s)
    try:
        connection.request(method, path, sent, headers)
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SpressoError(
            f"nothing answers on port {known.port}",
            code="bridge_not_running",
            hint="Start it: spresso serve.",
            exit_code=ExitCode.NOT_FOUND,
            kind=FaultKind.ENVIRONMENT,
        ) from error
    finally:
        connection.close()
    try:
        found = json.loads(content) if content else None
    except ValueError:
        found = None
    if status >= 400 or found is None:
        told = found if isinstance(found, dict) else {}
        raise SpressoError(
            str(told.get("detail", f"the program on port {known.port} is no bridge: it answers {status}")),
            code=str(told.get("code", "bridge_not_running")),
            hint=str(told.get("hint", "")),
        )
    return found
