"""The shelf's window: words above, sounds below, at the bottom where files go and what is going on."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QProcess, Qt, QTimer
from PySide6.QtGui import QCloseEvent, QColor, QKeyEvent, QPalette
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from plugin_bridge.clients.bridge_client import BridgeClient, BridgeError
from plugin_bridge.shelf.player import Player
from plugin_bridge.shelf.sounds import COLUMNS, Row, SoundList
from plugin_bridge.shelf.view import SoundView
from plugin_bridge.shelf.work import Work

TYPING_MS, LOOK_MS, LIMIT = 200, 1500, 100
KEYS = "Space hears   ‹ › variation   drag into your program   Ctrl+Enter into Audacity"
NO_BRIDGE = ("bridge_not_running", "bridge_silent")


class Words(QLineEdit):
    """The search field; Down and Return go to the list."""

    def __init__(self, view: SoundView) -> None:
        super().__init__()
        self._view = view
        self.setPlaceholderText("search: words, category:doors, duration:..2")
        self.setClearButtonEnabled(True)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._view.sounds.rows:
            self._view.setFocus()
            if not self._view.currentIndex().isValid():
                self._view.setCurrentIndex(self._view.sounds.index(0))
        else:
            super().keyPressEvent(event)


class Shelf(QWidget):
    """The window.

    Args:
        client: the bridge.
        folder: where dragged files are written, unless another allowed folder is chosen.
        label: what that folder is called.
        serve: command that starts a bridge.
        words: what to search for at first.
    """

    def __init__(
        self, client: BridgeClient, folder: Path, serve: Sequence[str], words: str = "", label: str = ""
    ) -> None:
        super().__init__()
        self._client, self._serve, self._work, self._player = client, list(serve), Work(self), Player()
        self._own, self._label = str(folder), label or str(folder)
        self._searches = 0
        self._bridge: QProcess | None = None
        self._auditions = tempfile.TemporaryDirectory(prefix="spresso-shelf-", ignore_cleanup_errors=True)
        self._audition = 0
        self._build(words)
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._typing.timeout.connect(self._search)
        self._looking = QTimer(self, singleShot=True, interval=LOOK_MS)
        self._looking.timeout.connect(self._search)
        self._search()

    def _build(self, words: str) -> None:
        self.setWindowTitle("spresso shelf")
        self.setWindowFlag(Qt.WindowType.WindowStaysOnTopHint)
        self.resize(440, 560)
        self.sounds = SoundList()
        self.view = SoundView(self.sounds)
        self.words = Words(self.view)
        self.words.setText(words)
        self._folder = QComboBox()
        self._folder.addItem(self._label, self._own)
        self._folder.setToolTip(
            "Dragged files lie here. Programs that do not copy what is dropped will look for them here: choose the "
            "project's folder for those (`spresso bridge allow DIR` adds one)."
        )
        self._folder.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._start = QPushButton("Start the bridge (until this window closes)")
        self._start.hide()
        self._says = QLabel(KEYS)
        self._says.setWordWrap(True)
        below = QHBoxLayout()
        below.addWidget(QLabel("Files go to"))
        below.addWidget(self._folder, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        for part in (self.words, self.view, self._start):
            layout.addWidget(part)
        layout.addLayout(below)
        layout.addWidget(self._says)
        self.words.textChanged.connect(lambda: self._typing.start())
        self.view.wanted.connect(self._make_file)
        self.view.heard.connect(self._hear)
        self.view.stepped.connect(self._step)
        self.view.sent.connect(self._send)
        self.view.left.connect(self._leave_list)
        self._start.clicked.connect(self._start_bridge)

    def say(self, text: str) -> None:
        """Show a line at the bottom."""
        self._says.setText(text)

    def complain(self, error: BridgeError) -> None:
        """Show what went wrong and what to do."""
        text = str(error)
        self.say(text[:1].upper() + text[1:])

    def closeEvent(self, event: QCloseEvent) -> None:
        self._player.stop()
        self._auditions.cleanup()
        if self._bridge is not None:
            self._bridge.terminate()
            self._bridge.waitForFinished(5000)
        super().closeEvent(event)

    # Searching ------------------------------------------------------------------------------------------------------

    def _search(self) -> None:
        self._searches += 1
        number, words = self._searches, self.words.text()
        self._work.run(
            lambda: (self._client.search(words, limit=LIMIT), self._client.info()["place_folders"]),
            lambda found: self._found(number, *found),
            lambda error: self._not_found(number, error),
        )

    def _found(self, number: int, answer: dict[str, Any], folders: list[str]) -> None:
        if number != self._searches:
            return  # words were typed meanwhile
        self._start.hide()
        rows = [Row.of(item) for item in answer["items"]]
        self.sounds.show(rows)
        if rows:
            self.view.setCurrentIndex(self.sounds.index(0))
        more = "" if answer["total_is_exact"] else "more than "
        shown = f", {len(rows)} shown" if len(rows) < answer["total"] else ""
        self.say(
            f"{more}{answer['total']} sound{'s' * (answer['total'] != 1)}{shown}.   {KEYS}"
            if rows
            else "Nothing answers to these words; try fewer."
        )
        for folder in folders:
            if folder != self._own and self._folder.findData(folder) < 0:
                self._folder.addItem(folder, folder)
        self._next_outline(number, rows, 0)

    def _not_found(self, number: int, error: BridgeError) -> None:
        if number != self._searches:
            return
        self.sounds.show([])
        self.complain(error)
        if error.code in NO_BRIDGE:
            self._start.setVisible(self._bridge is None)
            self._looking.start()  # somebody may start one

    def _next_outline(self, number: int, rows: list[Row], n: int) -> None:
        """One after the other, from the top: a new search ends it."""
        if number != self._searches or n == len(rows):
            return
        row = rows[n]

        def came(peaks: list[int]) -> None:
            row.peaks = peaks
            self.sounds.touch(row)
            self._next_outline(number, rows, n + 1)

        self._work.run(lambda: self._client.peaks(row.id, COLUMNS), came, lambda error: came([]))

    # What is done with a sound --------------------------------------------------------------------------------------

    def _step(self, row: Row, by: int) -> None:
        row.variation = max(0, row.variation + by)
        self.sounds.touch(row)

    def _make_file(self, row: Row) -> None:
        """Have the file of a row ready for a drag."""
        variation, folder = row.variation, str(self._folder.currentData())
        made = row.files.get((variation, folder))
        if made is not None and made.is_file():
            self.view.ready(row, made)
            return
        self.say(f"rendering {row.name} ...")

        def placed(answer: dict[str, Any]) -> None:
            file = Path(answer["files"][0]["path"])
            row.files[variation, folder] = file
            self.say(f"ready to drag: {file.name}")
            if row.variation == variation:
                self.view.ready(row, file)

        item = {"id": row.id, "variation": variation}
        self._work.run(lambda: self._client.place([item], folder), placed, self.complain)

    def _hear(self, row: Row) -> None:
        if not self._player.name:
            self.say("Nothing here plays sounds: install pipewire, pulseaudio-utils or alsa-utils.")
            return
        self._audition += 1
        number, variation = self._audition, row.variation
        file = Path(self._auditions.name) / f"{number}.wav"
        self.say(f"rendering {row.name} ...")

        def fetch() -> Path:
            url = f"{row.audio_url.partition('?')[0]}?variation={variation}&group=shelf&bits=16"
            try:
                self._client.fetch(url, file)
            except BridgeError as error:
                # The bridge ends the older of two auditions, and took this one for it: they overtook each other.
                if error.code != "short_body" or number != self._audition:
                    raise
                self._client.fetch(url, file)
            return file

        def came(file: Path) -> None:
            if number == self._audition:
                self._player.play(file)
                self.say(f"playing {row.name}, variation {variation}")

        def failed(error: BridgeError) -> None:
            if number == self._audition:  # an older one was stopped by this one
                self.complain(error)

        self._work.run(fetch, came, failed)

    def _send(self, row: Row) -> None:
        self.say(f"sending {row.name} to Audacity ...")
        item = {"id": row.id, "variation": row.variation}
        self._work.run(
            lambda: self._client.send("audacity", [item]),
            lambda answer: self.say(f"in Audacity: {row.name}"),
            self.complain,
        )

    def _leave_list(self) -> None:
        self._player.stop()
        self._audition += 1
        self.words.setFocus()
        self.words.selectAll()

    def _start_bridge(self) -> None:
        self._bridge = QProcess(self)
        self._bridge.setProcessChannelMode(QProcess.ProcessChannelMode.ForwardedErrorChannel)
        self._bridge.finished.connect(self._bridge_ended)
        self._bridge.start(self._serve[0], self._serve[1:])
        self._start.hide()
        self.say("starting the bridge ...")

    def _bridge_ended(self) -> None:
        self._bridge = None
        self.say("The bridge ended; the terminal says why. `spresso serve` starts it by hand.")


def dark() -> QPalette:
    """Colours for dark rooms."""
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in {
        role.Window: "#26282b",
        role.WindowText: "#d7d9dd",
        role.Base: "#1b1d1f",
        role.AlternateBase: "#212326",
        role.Text: "#d7d9dd",
        role.PlaceholderText: "#80858d",
        role.Button: "#34373b",
        role.ButtonText: "#d7d9dd",
        role.ToolTipBase: "#34373b",
        role.ToolTipText: "#d7d9dd",
        role.Highlight: "#2f5f9e",
        role.HighlightedText: "#ffffff",
        role.Link: "#5f9bd6",
    }.items():
        palette.setColor(which, QColor(colour))
    return palette


def run(client: BridgeClient, folder: Path, serve: Sequence[str], words: str = "", label: str = "") -> int:
    """Show the window until it is closed."""
    app = QApplication.instance() or QApplication(["spresso shelf"])
    assert isinstance(app, QApplication)
    app.setStyle("Fusion")
    app.setPalette(dark())
    shelf = Shelf(client, folder, serve, words, label)
    shelf.show()
    return app.exec()
