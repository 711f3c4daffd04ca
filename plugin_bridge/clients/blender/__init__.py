"""Sounds of the spresso bridge in Blender's Video Sequencer: search, hear, insert at the playhead, re-roll a strip.

Blender loads this folder as the package `spresso_vse`; `spresso bridge install blender` puts it there, together with
`bridge_client.py`. Nothing here is imported outside of Blender.
"""

bl_info = {
    "name": "spresso",
    "description": "Search the sounds of the spresso bridge, insert them as strips, take other variations of them",
    "author": "spresso-assets",
    "version": (1, 0, 0),
    "blender": (3, 0, 0),
    "location": "Video Sequencer > Sidebar > spresso",
    "category": "Sequencer",
}


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from spresso_vse import panel  # type: ignore[import-not-found]

    panel.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled."""
    from spresso_vse import panel

    panel.unregister()
