"""A small window that stays on top, from which sounds are dragged as real files into any program. Needs PySide6."""
