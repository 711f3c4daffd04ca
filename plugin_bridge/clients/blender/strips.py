"""Strips of the sequencer that know which sound and seed they play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy  # type: ignore[import-not-found]

SEEDS = 2**31
ID, SEED = "spresso_id", "spresso_seed"
HIGHEST_CHANNEL = 128  # that Blender 3 has


class StripError(Exception):
    """What the user has to do first."""


def target_folder(named: str) -> str:
    """The absolute folder for files of this project; `//` stands for that of the .blend file, as everywhere in Blender.

    Raises:
        StripError: the file was not saved yet, so there is no such folder.
    """
    if named.startswith("//") and not bpy.data.filepath:
        raise StripError("Save the .blend file first: sounds are kept beside it")
    folder = Path(bpy.path.abspath(named)).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StripError(f"{folder} cannot be made: {error.strerror}") from None
    return str(folder)


def insert(scene: Any, placed: dict[str, Any], name: str) -> Any:
    """A new strip at the playhead, in the lowest channel that is free there.

    Args:
        placed: what the bridge answered of the file: path, id, seed.
        name: of the strip.
    """
    editor = scene.sequence_editor or scene.sequence_editor_create()
    strips = _strips(editor)
    start = scene.frame_current
    # Its length in frames is known only to Blender: it is made where nothing can be in its way, and then moved.
    strip = strips.new_sound(name, placed["path"], HIGHEST_CHANNEL, start)
    strip.channel = _free_channel(editor, strip)
    strip[ID], strip[SEED] = placed["id"], str(placed["seed"])  # text: whole numbers of Blender end at 2^31
    strip.show_waveform = True
    editor.active_strip = strip
    return strip


def spresso_strip(scene: Any) -> Any:
    """The active strip, if it came from here.

    Raises:
        StripError: it did not, or there is none.
    """
    strip = scene.sequence_editor.active_strip if scene.sequence_editor else None
    if strip is None or strip.type != "SOUND" or not strip.get(ID):
        raise StripError("Select a strip that was inserted from the spresso panel")
    return strip


def next_seed(strip: Any) -> int:
    """The seed of the variation after the one that the strip plays."""
    return (int(strip[SEED]) + 1) % SEEDS


def reroll(strip: Any, placed: dict[str, Any]) -> None:
    """Another file for the strip, which stays as it is: position, trims, volume, fades. Variations are equally long."""
    # Strips that were duplicated share their sound; only this one changes.
    strip.sound = bpy.data.sounds.load(placed["path"])
    strip[SEED] = str(placed["seed"])


def _strips(editor: Any) -> Any:
    """`sequences` until Blender 4.3, `strips` from 4.4 on."""
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def _free_channel(editor: Any, strip: Any) -> int:
    start, end = strip.frame_final_start, strip.frame_final_end
    taken = {
        other.channel
        for other in _strips(editor)
        if other != strip and other.frame_final_start < end and other.frame_final_end > start
    }
    return next(channel for channel in range(1, HIGHEST_CHANNEL + 1) if channel not in taken)
