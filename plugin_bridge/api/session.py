"""How a page gets the token: a one-time code from the address that a person opened."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from plugin_bridge.bridge import Bridge


class Code(BaseModel):
    """What the page found in its address."""

    code: str = Field(min_length=1, max_length=200)


def router(bridge: Bridge) -> APIRouter:
    """POST /v1/session, /v1/session/code."""
    routes = APIRouter(tags=["session"])

    @routes.post("/v1/session")
    def redeem(code: Code) -> dict[str, str]:
        """The token for a one-time code; open to all, as the code is the key."""
        return {"token": bridge.tokens.redeem(code.code)}

    @routes.post("/v1/session/code")
    def make() -> dict[str, str]:
        """A code that opens the page in a browser, once, within five minutes."""
        code = bridge.tokens.new_code()
        return {"code": code, "url": f"{bridge.url}/?code={code}"}

    return routes
