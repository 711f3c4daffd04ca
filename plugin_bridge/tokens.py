"""Who may ask: the token of everything, that of the read-only folder, and codes that buy the former once."""

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from plugin_bridge.paths import write_private
from spresso_assets.errors import SpressoError

TOKEN_BYTES = 32
CODE_SECONDS = 300.0
MAX_CODES = 16
DAV_TOKEN_FILE = "dav-token"


class Tokens:
    """Who may ask: a token for everything, another one for the read-only folder, and codes that buy a token once."""

    def __init__(self, token: str = "", dav_token: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self.token = token or secrets.token_urlsafe(TOKEN_BYTES)
        self.dav_token = dav_token or secrets.token_urlsafe(TOKEN_BYTES)
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._lock = threading.Lock()

    def admits(self, given: str) -> bool:
        """Whether this is the token; takes the same time whatever was given."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def admits_dav(self, given: str) -> bool:
        """Whether this is the token of the read-only folder."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.dav_token.encode())

    def new_code(self) -> str:
        """A code that `redeem` takes once, within five minutes."""
        code, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        with self._lock:
            self._codes = {known: end for known, end in self._codes.items() if end > now}
            while len(self._codes) >= MAX_CODES:
                self._codes.pop(next(iter(self._codes)))
            self._codes[code] = now + CODE_SECONDS
        return code

    def redeem(self, given: str) -> str:
        """The token for a code, which is used up by that.

        Raises:
            SpressoError: ``bad_code``.
        """
        with self._lock:
            for code, end in list(self._codes.items()):
                if hmac.compare_digest(given.encode("utf-8", "replace"), code.encode()):
                    del self._codes[code]
                    if end > self._clock():
                        return self.token
        raise SpressoError(
            "this code was used already, or is older than five minutes",
            code="bad_code",
            hint="Open the page anew: spresso bridge open.",
        )

    def scrub(self, text: str) -> str:
        """The same text without secrets, for logs."""
        for secret in (self.token, self.dav_token, *list(self._codes)):
            text = text.replace(secret, "***")
        return text


def kept_dav_token(state: Path, *, anew: bool = False) -> str:
    """The token of the read-only folder, the same at every start, so that a mount outlives the server.

    Args:
        state: folder of the state.
        anew: make another one; whoever has mounted the folder must mount it again.

    Raises:
        SpressoError: ``state_not_writable``.
    """
    file = state / DAV_TOKEN_FILE
    if not anew:
        try:
            if len(token := file.read_text(encoding="ascii").strip()) >= TOKEN_BYTES:
                return token
        except (OSError, UnicodeDecodeError):
            pass
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_private(file, token + "\n")
    return token
