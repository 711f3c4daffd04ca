"""Presses the buttons of the panel in a real Blender without a screen. Run by test_blender.py: blender -b --python."""

import json
import os
import sys
from pathlib import Path

import addon_utils
import bpy

FOLDER = Path(os.environ["TEST_FOLDER"])
said = {}


def press(name, **settings):
    """A button of the panel; returns what the panel says then."""
    mine = bpy.context.window_manager.spresso
    for key, value in settings.items():
        setattr(mine, key, value)
    getattr(bpy.ops.spresso, name)()
    return mine.said


def mixdown(name):
    bpy.ops.sound.mixdown(filepath=str(FOLDER / name), container="WAV", codec="PCM", format="F32")


def facts(strip):
    return {
        "start": strip.frame_final_start,
        "frames": strip.frame_final_duration,
        "channel": strip.channel,
        "volume": strip.volume,
        "file": bpy.path.abspath(strip.sound.filepath),
        "id": strip["spresso_id"],
        "seed": int(strip["spresso_seed"]),
    }


def main():
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end, scene.frame_current = 25, 1, 150, 51
    scene.render.ffmpeg.audio_mixrate = 48000
    scene.render.ffmpeg.audio_channels = "STEREO"
    scene.sequence_editor_create()
    said["unsaved"] = press("search", query="rusty"), press("insert")
    bpy.ops.wm.save_as_mainfile(filepath=str(FOLDER / "film.blend"))
    said["nothing selected"] = press("reroll")
    said["audition"] = press("audition", variation=1)
    said["insert"] = press("insert", variation=0)
    first = scene.sequence_editor.active_strip
    first.volume = 0.5
    said["first"] = facts(first)
    mixdown("first.wav")
    said["insert again"] = press("insert", variation=5)
    second = scene.sequence_editor.active_strip
    said["second"] = facts(second)
    scene.sequence_editor.active_strip = first
    second.mute = True
    first.frame_offset_end = 2
    said["reroll"] = press("reroll")
    said["rerolled"] = facts(first)
    first.frame_offset_end = 0
    mixdown("rerolled.wav")
    said["second later"] = facts(second)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(FOLDER / "film.blend"))
    said["reopened"] = facts(bpy.context.scene.sequence_editor.sequences_all[first_name])


first_name = "Metal door, rusty"
try:
    assert addon_utils.enable("spresso_vse", default_set=False) is not None, "the add-on did not load"
    if "ONLY_SEARCH" in os.environ:
        said["search"] = press("search", query="door")
    else:
        main()
    addon_utils.disable("spresso_vse")
    (FOLDER / "said.json").write_text(json.dumps(said))
except BaseException as error:
    import traceback

    traceback.print_exc()
    print("FAILED", error)
    sys.stdout.flush()
    os._exit(3)
