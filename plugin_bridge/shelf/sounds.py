"""The list of sounds: what a row is, and how it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPalette, QPolygonF
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

ROW_HEIGHT, MARGIN, STEPPER_WIDTH, FACTS_WIDTH = 52, 8, 116, 150
COLUMNS = 160  # of the outline
Index = QModelIndex | QPersistentModelIndex


@dataclass
class Row:
    """One sound of the list.

    Attributes:
        id: of the sound in the catalog.
        variation: added to the kept seed; 0 is the sound as it was kept.
        peaks: min0, max0, min1, ... of the outline, -128..127; empty until it came.
        files: placed files by variation and folder.
    """

    id: str
    name: str
    facts: str
    audio_url: str
    variation: int = 0
    peaks: list[int] = field(default_factory=list)
    files: dict[tuple[int, str], Path] = field(default_factory=dict)

    @classmethod
    def of(cls, item: dict[str, Any]) -> Row:
        """A row of what the bridge says of a sound."""
        channels = {1: "mono", 2: "stereo"}.get(item["channels"], f"{item['channels']} ch")
        facts = "  ".join(filter(None, (item["category"], f"{item['duration_s'] or 0:.1f} s", channels)))
        return cls(item["id"], item["name"], facts, item["audio_url"])


class SoundList(QAbstractListModel):
    """Rows for a list view."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []

    def show(self, rows: Sequence[Row]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self.endResetModel()

    def touch(self, row: Row) -> None:
        """Draw a row anew, if it is still there."""
        if row in self.rows:
            index = self.index(self.rows.index(row))
            self.dataChanged.emit(index, index)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{row.name}\n{row.facts}\nvariation {row.variation}"
        return None


def stepper_of(row: QRect) -> tuple[QRect, QRect]:
    """Where "less" and "more" of a row's variation are."""
    top, height = row.bottom() - 23, 20
    left = row.right() - MARGIN - STEPPER_WIDTH
    return QRect(left, top, 24, height), QRect(row.right() - MARGIN - 24, top, 24, height)


class RowPainter(QStyledItemDelegate):
    """Name and facts above; the outline below, beside it the stepper of variations."""

    def __init__(self, sounds: SoundList) -> None:
        super().__init__()
        self._sounds = sounds

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        # The stubs of PySide6 leave out the fields of options.
        asked: Any = option
        row, box, palette = self._sounds.rows[index.row()], QRect(asked.rect), QPalette(asked.palette)
        chosen = bool(asked.state & QStyle.StateFlag.State_Selected)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if chosen:
            painter.fillRect(box, palette.color(QPalette.ColorRole.Highlight))
        ink = palette.color(QPalette.ColorRole.HighlightedText if chosen else QPalette.ColorRole.Text)
        faint = QColor(ink)
        faint.setAlpha(160)
        upper = box.adjusted(MARGIN, 4, -MARGIN, 0)
        upper.setHeight(20)
        metrics = painter.fontMetrics()
        middle = Qt.AlignmentFlag.AlignVCenter
        facts = metrics.elidedText(row.facts, Qt.TextElideMode.ElideLeft, FACTS_WIDTH)
        room = upper.width() - metrics.horizontalAdvance(facts) - 2 * MARGIN
        painter.setPen(ink)
        painter.drawText(upper, middle, metrics.elidedText(row.name, Qt.TextElideMode.ElideRight, room))
        painter.setPen(faint)
        painter.drawText(upper, middle | Qt.AlignmentFlag.AlignRight, facts)
        lower = QRect(upper.left(), upper.bottom() + 2, upper.width() - STEPPER_WIDTH - MARGIN, 24)
        self._draw_outline(painter, lower, row.peaks, palette.color(QPalette.ColorRole.Link) if not chosen else ink)
        if chosen or row.variation:
            self._draw_stepper(painter, box, row.variation, faint)
        painter.restore()

    def _draw_outline(self, painter: QPainter, box: QRect, peaks: list[int], colour: QColor) -> None:
        if not peaks:
            return
        columns, middle, half = len(peaks) // 2, box.center().y(), box.height() / 2
        over = [
            QPointF(box.left() + n * box.width() / columns, middle - peaks[2 * n + 1] / 128 * half)
            for n in range(columns)
        ]
        under = [
            QPointF(box.left() + n * box.width() / columns, middle - peaks[2 * n] / 128 * half) for n in range(columns)
        ]
        painter.setPen(colour)
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF(over + under[::-1]))

    def _draw_stepper(self, painter: QPainter, box: QRect, variation: int, colour: QColor) -> None:
        less, more = stepper_of(box)
        between = QRect(less.right(), less.top(), more.left() - less.right(), less.height())
        painter.setPen(colour)
        centre = Qt.AlignmentFlag.AlignCenter
        painter.drawText(between, centre, f"variation {variation}" if variation else "as kept")
        font = QFont(painter.font())
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(less, centre, "‹")
        painter.drawText(more, centre, "›")
