"""`/v1/slots`: sounds on numbers, for instruments, patches and scripts that play a slot without knowing any id."""

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from plugin_bridge.api.audio import audio_url, sound_response
from plugin_bridge.bridge import Bridge
from plugin_bridge.render.takes import Take, TakeParams
from plugin_bridge.slots import MAX_SOUNDS, MAX_VARIATIONS, SLOTS, Slot
from spresso_assets.errors import ExitCode, SpressoError

Number = Annotated[int, Path(ge=0, lt=SLOTS)]
# what may be wrong with one sound of a slot long after it was put there
GONE = ("asset_not_found", "not_encoded", "payload_corrupt", "wrong_model", "take_too_long")


class SlotRequest(BaseModel):
    """Sounds for a slot."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] | None = Field(None, min_length=1, max_length=MAX_SOUNDS, description="Ids, or their first digits.")
    id: str | None = Field(None, description="Instead of ids, for one sound.")
    variations: int = Field(4, ge=1, le=MAX_VARIATIONS, description="Of each sound.")
    q: Literal["preview", "default", "paper"] = "default"
    profile: str | None = Field(None, max_length=100)


class SlotAudioParams(TakeParams):
    """Which take of a slot, and in what form; quality and profile are the slot's own unless they are given."""

    take: int = Field(0, ge=0, description="Number of the take, from 0; beyond the last one they begin again.")


def router(bridge: Bridge) -> APIRouter:
    """GET /v1/slots; GET, PUT, DELETE /v1/slots/{slot}; GET /v1/slots/{slot}/audio.wav."""
    routes = APIRouter(tags=["slots"])

    @routes.get("/v1/slots")
    def table() -> dict[str, Any]:
        """Slots that hold something."""
        return {"slots": [{"slot": number, **slot.model_dump()} for number, slot in bridge.slots.all().items()]}

    @routes.get("/v1/slots/{slot}")
    def show(slot: Number) -> dict[str, Any]:
        """A slot with its takes; those of sounds that have gone from the catalog are left out."""
        return _described(bridge, slot, bridge.slots.get(slot))

    @routes.put("/v1/slots/{slot}")
    def put(slot: Number, request: SlotRequest) -> dict[str, Any]:
        """Put sounds on a slot; every one of them must exist and be encoded."""
        ids = [*(request.ids or []), *([request.id] if request.id is not None else [])]
        if not ids or (request.ids is not None and request.id is not None):
            raise SpressoError(
                "a slot takes either ids or id", code="bad_request", hint='{"ids": ["3f2a"]}', exit_code=ExitCode.USAGE
            )
        params = TakeParams(profile=request.profile, q=request.q)
        uids = dict.fromkeys(bridge.renderer.take(given, params).asset_uid for given in ids)
        made = Slot(ids=tuple(uids), variations=request.variations, q=request.q, profile=request.profile)
        bridge.slots.put(slot, made)
        return _described(bridge, slot, made)

    @routes.delete("/v1/slots/{slot}")
    def clear(slot: Number) -> dict[str, Any]:
        """Empty a slot."""
        return {"slot": slot, "cleared": bridge.slots.clear(slot)}

    @routes.head("/v1/slots/{slot}/audio.wav", include_in_schema=False)
    @routes.get("/v1/slots/{slot}/audio.wav", response_class=Response)
    async def audio(slot: Number, request: Request, params: Annotated[SlotAudioParams, Query()]) -> Response:
        """One take of a slot as a file, as `/v1/sounds/{id}/audio.wav` gives it."""
        held = bridge.slots.get(slot)
        takes = held.takes()
        uid, variation = takes[params.take % len(takes)]
        given = params.model_dump(include=set(TakeParams.model_fields), exclude_unset=True)
        wanted = TakeParams(**{"q": held.q, "profile": held.profile, "variation": variation, **given})
        take = await asyncio.to_thread(bridge.renderer.take, uid, wanted)
        answer = sound_response(request, bridge.renderer, take)
        answer.headers["cache-control"] = "private, no-cache"  # the address stays, what lies on the slot changes
        return answer

    return routes


def _described(bridge: Bridge, number: int, slot: Slot) -> dict[str, Any]:
    takes = []
    for i, (uid, variation) in enumerate(slot.takes()):
        params = TakeParams(profile=slot.profile, q=slot.q, variation=variation)
        try:
            take: Take = bridge.renderer.take(uid, params)
        except SpressoError as error:
            if error.code not in GONE:
                raise
            continue
        # With the profile that was chosen for it: instruments keep this address in the projects of their users.
        url = audio_url(take, params.model_copy(update={"profile": take.profile}))
        takes.append({"i": i, "id": uid, "seed": take.seed, "audio_url": url, "bytes": take.wav_bytes})
    return {"slot": number, **slot.model_dump(), "takes": takes}
