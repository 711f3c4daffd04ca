"""Lists of takes as clients write them: ids, each with how it is wanted."""

import asyncio
import time
from collections.abc import Sequence

from pydantic import Field

from plugin_bridge.bridge import Bridge
from plugin_bridge.render.encode import check_format
from plugin_bridge.render.renderer import Priority, Renderer
from plugin_bridge.render.sounds import Samples
from plugin_bridge.render.takes import Take, TakeParams
from spresso_assets.errors import SpressoError

PATIENCE_S = 120.0  # with a queue that is full
PAUSE_S = 2.0


class Item(TakeParams):
    """One sound in one form."""

    id: str = Field(min_length=3, max_length=64, description="The sound, or the first digits of its id.")


def takes_of(bridge: Bridge, items: Sequence[Item], form: str = "wav") -> list[Take]:
    """The takes of a list, all of which exist and fit the format; nothing is decoded.

    Raises:
        SpressoError: as `Renderer.take`; ``bad_format``.
    """
    takes = []
    for item in items:
        take = bridge.renderer.take(item.id, TakeParams(**item.model_dump(exclude={"id"})))
        check_format(take, form)
        takes.append(take)
    return takes


async def sound_of(renderer: Renderer, take: Take, priority: Priority) -> Samples:
    """All samples of one take of a list. A full queue is waited for: the list would else be made in part.

    Raises:
        SpressoError: as `Renderer.sound`; ``too_many_decodes`` only after two minutes.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await renderer.sound(take, priority=priority)
        except SpressoError as error:
            if error.code != "too_many_decodes" or time.monotonic() > end:
                raise
        await asyncio.sleep(PAUSE_S)
