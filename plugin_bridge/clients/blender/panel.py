"""The panel in the sequencer's sidebar, and what its buttons do.

Annotations are evaluated here: Blender reads properties from them.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy  # type: ignore[import-not-found]
from spresso_vse import strips  # type: ignore[import-not-found]
from spresso_vse.bridge_client import BridgeClient, BridgeError  # type: ignore[import-not-found]

POLL_S = 0.1
RESULTS = 100
_playing: Any = None


class SpressoSound(bpy.types.PropertyGroup):
    """One line of the result list."""

    sound_id: bpy.props.StringProperty()  # type: ignore[valid-type]
    duration_s: bpy.props.FloatProperty()  # type: ignore[valid-type]


def search_on_enter(mine: Any, context: Any) -> None:
    """Called by Blender when the query was changed. A script has no window, and presses the button itself."""
    if context.window is not None and not bpy.app.background:
        bpy.ops.spresso.search("INVOKE_DEFAULT")


class SpressoSettings(bpy.types.PropertyGroup):
    """What the panel shows; kept with the window, not in the .blend file."""

    query: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Search", description="Words, as in `spresso search`; Enter searches", update=search_on_enter
    )
    sounds: bpy.props.CollectionProperty(type=SpressoSound)  # type: ignore[valid-type]
    chosen: bpy.props.IntProperty()  # type: ignore[valid-type]
    variation: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Variation", description="0 is the sound's own first one; any number gives another", min=0, max=10_000
    )
    folder: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Folder", description="Where inserted sounds are kept", default="//spresso", subtype="DIR_PATH"
    )
    said: bpy.props.StringProperty()  # type: ignore[valid-type]


def settings() -> Any:
    """The panel's settings."""
    return bpy.context.window_manager.spresso


def say(text: str) -> None:
    """Show what came of a button. Blender draws the panel anew only when asked, where no mouse moves over it."""
    settings().said = text
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == SPRESSO_PT_panel.bl_space_type:
                area.tag_redraw()


def chosen_sound() -> Any:
    """The selected line of the list.

    Raises:
        StripError: nothing is selected.
    """
    mine = settings()
    if not 0 <= mine.chosen < len(mine.sounds):
        raise strips.StripError("Search, and select a sound")
    return mine.sounds[mine.chosen]


class Asking(bpy.types.Operator):
    """An operator that asks the bridge: from a button it waits in a thread, so that Blender stays usable; from a script
    (`bpy.ops.spresso.insert()`) it returns when it is done.
    """

    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 - Blender's

    def prepare(self, context: Any) -> Callable[[BridgeClient], Any]:
        """What to ask; runs in the thread, so everything of Blender's is read here.

        Raises:
            StripError: something has to be done first.
        """
        raise NotImplementedError

    def apply(self, context: Any, answer: Any) -> str:
        """Make something of the answer; returns what to tell the user."""
        raise NotImplementedError

    def execute(self, context: Any) -> set[str]:
        """Blender's entry for scripts."""
        try:
            answer = self.prepare(context)(BridgeClient())
        except (BridgeError, strips.StripError) as error:
            return self._fail(str(error))
        return self._finish(context, answer)

    def invoke(self, context: Any, event: Any) -> set[str]:
        """Blender's entry for buttons."""
        try:
            question = self.prepare(context)
        except strips.StripError as error:
            return self._fail(str(error))
        self._result: list[Any] = []
        self._thread = threading.Thread(target=self._ask, args=(question,), daemon=True)
        self._thread.start()
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_S, window=context.window)
        manager.modal_handler_add(self)
        say("Asking the bridge ...")
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """Called by Blender while the thread waits."""
        if self._thread.is_alive():
            return {"PASS_THROUGH"}
        context.window_manager.event_timer_remove(self._timer)
        (answer,) = self._result
        if isinstance(answer, Exception):
            return self._fail(str(answer))
        return self._finish(context, answer)

    def _ask(self, question: Callable[[BridgeClient], Any]) -> None:
        try:
            self._result = [question(BridgeClient())]
        except Exception as error:  # whatever it is, it has to reach the user through modal()
            self._result = [error]

    def _finish(self, context: Any, answer: Any) -> set[str]:
        try:
            said = self.apply(context, answer)
        except (BridgeError, strips.StripError, RuntimeError) as error:
            return self._fail(str(error))
        say(said)
        self.report({"INFO"}, said)
        return {"FINISHED"}

    def _fail(self, why: str) -> set[str]:
        say(why)
        # A warning, not an error: an error would end a script that wants to read `said`.
        self.report({"WARNING"}, why)
        return {"CANCELLED"}


class SPRESSO_OT_search(Asking):
    """Find sounds"""

    bl_idname = "spresso.search"
    bl_label = "Search"
    bl_options = {"REGISTER"}  # noqa: RUF012

    def prepare(self, context: Any) -> Callable[[BridgeClient], Any]:
        query = settings().query
        return lambda client: client.search(query, limit=RESULTS)

    def apply(self, context: Any, answer: Any) -> str:
        mine = settings()
        mine.sounds.clear()
        for item in answer["items"]:
            line = mine.sounds.add()
            line.name, line.sound_id, line.duration_s = item["name"], item["id"], item["duration_s"]
        mine.chosen = 0
        return f"{len(mine.sounds)} of {answer['total']} sounds"


class SPRESSO_OT_audition(Asking):
    """Hear the selected sound in the chosen variation"""

    bl_idname = "spresso.audition"
    bl_label = "Hear"
    bl_options = {"REGISTER"}  # noqa: RUF012

    def prepare(self, context: Any) -> Callable[[BridgeClient], Any]:
        sound, variation = chosen_sound().sound_id, settings().variation
        return lambda client: client.audio(sound, variation=variation, q="preview", group="blender")

    def apply(self, context: Any, answer: Any) -> str:
        global _playing
        try:
            import aud  # type: ignore[import-not-found]
        except ImportError as error:  # a Blender of a distribution that left numpy out
            raise strips.StripError(f"This Blender cannot play: {error}") from None
        if _playing is not None:
            _playing.stop()
        with tempfile.NamedTemporaryFile(suffix=".wav", delete=False) as file:
            file.write(answer)
        try:
            # cache() reads it whole, so that the file can go.
            _playing = aud.Device().play(aud.Sound(file.name).cache())
        except aud.error as error:
            raise strips.StripError(f"Blender cannot play it: {error}") from None
        finally:
            Path(file.name).unlink(missing_ok=True)
        return f"{chosen_sound().name}, variation {settings().variation}"


class SPRESSO_OT_insert(Asking):
    """Insert the selected sound as a strip at the playhead"""

    bl_idname = "spresso.insert"
    bl_label = "Insert at playhead"

    def prepare(self, context: Any) -> Callable[[BridgeClient], Any]:
        item = {"id": chosen_sound().sound_id, "variation": settings().variation}
        self._name = chosen_sound().name
        folder = strips.target_folder(settings().folder)
        return lambda client: client.place([item], folder)

    def apply(self, context: Any, answer: Any) -> str:
        (placed,) = answer["files"]
        strip = strips.insert(context.scene, placed, self._name)
        return f"{strip.name} at frame {strip.frame_final_start}, channel {strip.channel}"


class SPRESSO_OT_reroll(Asking):
    """Take the next variation for the active strip; its place, trims and volume stay"""

    bl_idname = "spresso.reroll"
    bl_label = "Re-roll strip"

    def prepare(self, context: Any) -> Callable[[BridgeClient], Any]:
        strip = strips.spresso_strip(context.scene)
        self._name = strip.name
        item = {"id": strip[strips.ID], "seed": strips.next_seed(strip)}
        # Beside the file that it has now: the project may have been moved, and the panel's folder changed.
        folder = str(Path(bpy.path.abspath(strip.sound.filepath)).resolve().parent)
        return lambda client: client.place([item], folder)

    def apply(self, context: Any, answer: Any) -> str:
        strip = strips.spresso_strip(context.scene)
        if strip.name != self._name:
            raise strips.StripError("Another strip was selected meanwhile; nothing was changed")
        (placed,) = answer["files"]
        strips.reroll(strip, placed)
        return f"{strip.name} plays seed {placed['seed']}"


class SPRESSO_UL_sounds(bpy.types.UIList):
    """The result list."""

    def draw_item(
        self, context: Any, layout: Any, data: Any, item: Any, icon: int, active: Any, name: str, index: int
    ) -> None:
        """Called by Blender for each visible line."""
        layout.label(text=item.name, icon="SOUND", translate=False)
        length = layout.row()
        length.alignment = "RIGHT"
        length.label(text=f"{item.duration_s:.1f} s", translate=False)


class SPRESSO_PT_panel(bpy.types.Panel):
    """The tab in the sidebar."""

    bl_label = "spresso"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "spresso"

    def draw(self, context: Any) -> None:
        """Called by Blender whenever the sidebar is drawn."""
        mine, layout = settings(), self.layout
        row = layout.row(align=True)
        row.prop(mine, "query", text="", icon="VIEWZOOM")
        row.operator(SPRESSO_OT_search.bl_idname, text="Search")
        layout.template_list(SPRESSO_UL_sounds.__name__, "", mine, "sounds", mine, "chosen", rows=8)
        layout.prop(mine, "variation")
        row = layout.row(align=True)
        row.operator(SPRESSO_OT_audition.bl_idname, icon="PLAY")
        row.operator(SPRESSO_OT_insert.bl_idname, icon="NLA_PUSHDOWN")
        layout.operator(SPRESSO_OT_reroll.bl_idname, icon="FILE_REFRESH")
        layout.prop(mine, "folder")
        if mine.said:
            layout.label(text=mine.said, translate=False)


CLASSES = (
    *(SpressoSound, SpressoSettings, SPRESSO_OT_search, SPRESSO_OT_audition, SPRESSO_OT_insert, SPRESSO_OT_reroll),
    *(SPRESSO_UL_sounds, SPRESSO_PT_panel),
)


def register() -> None:
    """Tell Blender of everything above."""
    for made in CLASSES:
        bpy.utils.register_class(made)
    bpy.types.WindowManager.spresso = bpy.props.PointerProperty(type=SpressoSettings)


def unregister() -> None:
    """Take it all back."""
    global _playing
    if _playing is not None:
        _playing.stop()
        _playing = None
    del bpy.types.WindowManager.spresso
    for made in reversed(CLASSES):
        bpy.utils.unregister_class(made)
