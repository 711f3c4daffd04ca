"""The list that sounds are dragged out of: real files, there before the drag begins."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QModelIndex, QPoint, Qt, QUrl, Signal
from PySide6.QtGui import QDrag, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QAbstractItemView, QApplication, QListView

from plugin_bridge.shelf.sounds import Row, RowPainter, SoundList, stepper_of

LEFT = Qt.MouseButton.LeftButton


class SoundView(QListView):
    """Tells what the user wants with a row; the window does it.

    A file that is dropped has to exist, and no program waits for one: so a press asks for the file, and the drag begins
    once it is there and the mouse has moved, whichever comes last.
    """

    wanted = Signal(object)  # a row is pressed: its file will be needed
    heard = Signal(object)  # play this row
    stepped = Signal(object, int)  # another variation of this row, so much further
    sent = Signal(object)  # put this row into Audacity
    left = Signal()  # back to the words

    def __init__(self, sounds: SoundList) -> None:
        super().__init__()
        self.sounds = sounds
        self.setModel(sounds)
        self._painter = RowPainter(sounds)
        self.setItemDelegate(self._painter)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._pressed_at: QPoint | None = None
        self._moved = False
        self._row: Row | None = None
        self._file: Path | None = None

    def current(self) -> Row | None:
        """The chosen row."""
        index = self.currentIndex()
        return self.sounds.rows[index.row()] if index.isValid() else None

    def ready(self, row: Row, file: Path) -> None:
        """The file of a row that was `wanted` is there."""
        if row is self._row:
            self._file = file
            self._drag_if_all_is_there()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        index, at = self.indexAt(event.position().toPoint()), event.position().toPoint()
        self._forget()
        if event.button() != LEFT or not index.isValid():
            return
        row = self.sounds.rows[index.row()]
        less, more = stepper_of(self.visualRect(index))
        if less.contains(at) or more.contains(at):
            self.stepped.emit(row, 1 if more.contains(at) else -1)
            return
        self._pressed_at, self._row = at, row
        self.wanted.emit(row)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._pressed_at is not None:
            way = (event.position().toPoint() - self._pressed_at).manhattanLength()
            self._moved = self._moved or way >= QApplication.startDragDistance()
            self._drag_if_all_is_there()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        self._forget()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if (row := self.current()) is not None:
            self.heard.emit(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row, key = self.current(), event.key()
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        first = not self.currentIndex().isValid() or self.currentIndex().row() == 0
        if key == Qt.Key.Key_Escape or (key == Qt.Key.Key_Up and first) or key == Qt.Key.Key_Slash:
            self.left.emit()
        elif row is None:
            super().keyPressEvent(event)
        elif key == Qt.Key.Key_Space:
            self.heard.emit(row)
        elif key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.stepped.emit(row, 1 if key == Qt.Key.Key_Right else -1)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and control:
            self.sent.emit(row)
        else:
            super().keyPressEvent(event)

    def _forget(self) -> None:
        self._pressed_at, self._moved, self._row, self._file = None, False, None, None

    def _drag_if_all_is_there(self) -> None:
        if not self._moved or self._file is None or not QApplication.mouseButtons() & LEFT:
            return
        row, file = self._row, self._file
        self._forget()
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(file))])
        drag = QDrag(self)
        drag.setMimeData(data)
        if row is not None and row in self.sounds.rows:
            box = self.visualRect(self.sounds.index(self.sounds.rows.index(row), 0, QModelIndex()))
            drag.setPixmap(self.viewport().grab(box.adjusted(0, 0, -box.width() // 2, 0)))
        # A copy: the file stays here, whatever the other program does with it.
        drag.exec(Qt.DropAction.CopyAction)
