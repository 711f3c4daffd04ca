"""The file by which programs find a running bridge: its port and its token, readable by its owner alone.

``bridge.json`` holds ``{"port", "token", "dav_token", "pid", "api"}``; ``bridge.txt`` beside it holds ``PORT TOKEN``
on one line, for programs without a JSON parser; ``bridge.curl`` holds the token as an option of curl, for scripts that
have no network but curl: ``curl -K bridge.curl URL`` keeps the token off the command line and out of copies. All lie in
`paths.state_dir`, or where ``SPRESSO_BRIDGE`` says.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from plugin_bridge.paths import state_dir, write_private
from spresso_assets.errors import ExitCode, FaultKind, SpressoError

API = 1
VARIABLE = "SPRESSO_BRIDGE"
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Discovery:
    """What a running bridge says of itself."""

    port: int
    token: str
    dav_token: str
    pid: int
    api: int = API

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"


def discovery_file(env: Mapping[str, str] | None = None) -> Path:
    """Where ``bridge.json`` lies or would lie."""
    env = os.environ if env is None else env
    return Path(env[VARIABLE]) if env.get(VARIABLE) else state_dir(env) / "bridge.json"


def read(file: Path) -> Discovery | None:
    """What the file says; None if there is none, or it is not one of ours."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known = Discovery(*(found[name] for name in ("port", "token", "dav_token", "pid", "api")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    numbers = (known.port, known.pid, known.api)
    texts = (known.token, known.dav_token)
    return known if all(type(n) is int for n in numbers) and all(isinstance(t, str) for t in texts) else None


def answers(known: Discovery) -> bool:
    """Whether the bridge of this file runs: something answers at its port, and knows the token.

    A process id alone proves nothing: it may belong to another program by now.
    """
    from plugin_bridge.asking import ask

    try:
        ask(known, "GET", "/v1/info", patience_s=PATIENCE_S)
    except SpressoError as error:
        # busy is alive
        return error.code not in ("bridge_not_running", "token_missing", "not_found", "bad_host")
    return True


def running(file: Path) -> Discovery:
    """The bridge that runs.

    Raises:
        SpressoError: ``bridge_not_running``, for a file that is not there as for one that a killed server left.
    """
    known = read(file)
    if known is None or not answers(known):
        raise not_running(file)
    return known


def not_running(file: Path) -> SpressoError:
    return SpressoError(
        f"no bridge is running ({file} {'is left over from one that was killed' if file.exists() else 'is not there'})",
        code="bridge_not_running",
        hint="Start it: spresso serve.",
        exit_code=ExitCode.NOT_FOUND,
        kind=FaultKind.ENVIRONMENT,
    )


def refuse_second(file: Path) -> None:
    """One server per discovery file: the clients of the first one would otherwise lose it.

    Raises:
        SpressoError: ``bridge_running`` while the one in the file answers; a file without a server does not count.
    """
    if (known := read(file)) is not None and answers(known):
        raise SpressoError(
            f"a bridge is running already on port {known.port} (process {known.pid})",
            code="bridge_running",
            hint=f"Use it ('spresso bridge open'), stop it, or name another discovery file with {VARIABLE}.",
        )


def publish(known: Discovery, file: Path) -> None:
    """Write the files, each in one step.

    Raises:
        SpressoError: ``state_not_writable``.
    """
    write_private(file.with_suffix(".curl"), f'header = "Authorization: Bearer {known.token}"\n')
    write_private(file.with_suffix(".txt"), f"{known.port} {known.token}\n")
    write_private(file, json.dumps(asdict(known)) + "\n")


def withdraw(known: Discovery, file: Path) -> None:
    """Remove the files, unless another server has written its own meanwhile."""
    if read(file) == known:
        file.unlink(missing_ok=True)
        file.with_suffix(".txt").unlink(missing_ok=True)
        file.with_suffix(".curl").unlink(missing_ok=True)
