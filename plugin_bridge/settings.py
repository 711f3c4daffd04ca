"""What a bridge is told when it starts, and the limits that keep it in bounds."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plugin_bridge.paths import cache_dir, state_dir

DEFAULT_PORT = 8470


class BridgeSettings(BaseModel):
    """Validated settings of one server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="TCP port on 127.0.0.1; 0 takes a free one.")
    place_folders: list[Path] = Field([], description="Folders that sounds may be placed into, besides those allowed.")
    state_dir: Path = Field(default_factory=state_dir, description="Folder of what outlives a server.")
    cache_dir: Path = Field(default_factory=cache_dir, description="Folder of decoded sounds.")
    ram_bytes: int = Field(256_000_000, ge=0, description="Most bytes of decoded sound kept in memory.")
    disk_bytes: int = Field(4_000_000_000, ge=0, description="Most bytes of decoded sound kept on disk.")
    max_queued: int = Field(64, ge=1, description="Decodes that may wait; more are refused with 429.")
    max_seconds: float = Field(600.0, gt=0, description="Longest sound that one request may ask for, in seconds.")
    decode_threads: int = Field(1, ge=1, le=64, description="Sounds that are decoded at the same time.")
    decode: Literal["local", "workers"] = Field("local", description="Decode in this process, or let workers do it.")
