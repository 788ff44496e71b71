"""Consoles of rich that give a terminal nothing to obey but what rich says itself: colours, where the cursor goes."""

from __future__ import annotations

from collections.abc import Iterable
from shutil import get_terminal_size
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import Task, TextColumn
from rich.segment import Segment
from rich.text import Text

from ..failures import tamed, tamed_lines

_ANY_WIDTH = 100_000


class HarmlessConsole(Console):
    """A console for tables and bars with names in them that strangers have chosen, which are no markup either.

    Strings, such as the cells of a table, are tamed before there is a layout, so that columns are as wide as what is
    shown. Whatever else has text is tamed when it is drawn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)
        self._width = options.get("width")  # not what COLUMNS says, which is about terminals: `size` has it of these

    @property
    def whole(self) -> bool:
        """Whether there is room for everything, as in a file, where what is cut is lost."""
        return not self.is_terminal and self._width is None

    @property
    def size(self) -> ConsoleDimensions:
        """That of the terminal; as wide as what is shown where there is none."""
        found = super().size
        return ConsoleDimensions(_ANY_WIDTH, found.height) if self.whole else found

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        self._width, self._height = new

    def print_prose(self, renderable: RenderableType) -> None:
        """Print what is read from line to line, which is broken in files too."""
        self.print(renderable, width=None if self.is_terminal else min(self.width, get_terminal_size().columns))

    def render_str(self, text: str, **options: Any) -> Text:
        """A string as rich has it: of characters that a terminal would obey only the code."""
        return super().render_str(tamed_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Pieces of text, tamed, and rich's own orders."""
        for piece in super().render(renderable, options):
            if piece.control or (piece.text.isascii() and piece.text.isprintable()):
                yield piece
            else:
                yield piece._replace(text=tamed_lines(piece.text))


class HarmlessColumn(TextColumn):
    """Words beside a bar: one line, since rich counts the lines that it goes back."""

    def render(self, task: Task) -> Text:
        """The words, tamed."""
        words = super().render(task)
        words.plain = tamed(words.plain, len(words.plain))
        return words
