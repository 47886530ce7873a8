"""Cards one below the other, each as high as it needs to be."""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from fate.tui.widgets.candidate_card import CandidateCard

_FAIR = 4  # rows; where there are not so many for each card, the marked one comes first


def heights(room: int, needs: Sequence[int], growing: Sequence[bool], marked: int) -> list[int]:
    """The rows that stacked cards get, in the order of ``needs``.

    Each gets what it needs, and what a short card leaves goes to the longer ones. A text that is still being written
    may come to need everything, so its share is lent to nobody: while texts grow, no height shrinks. (Where one that
    was whole is written again, it takes its share back.)

    Args:
        room: rows for all of them together.
        needs: rows that would show each card whole, title included.
        growing: for each card whether its text is still being written.
        marked: the place of the marked card.
    """
    least = 2 if room > 2 * len(needs) else 1  # the title, and a line if there is room
    given = [least] * len(needs)
    wanted = [room if grows else need for need, grows in zip(needs, growing, strict=True)]
    marked_first = room < _FAIR * len(needs)
    for _ in range(room - sum(given)):
        short = [n for n in range(len(needs)) if given[n] < wanted[n]]
        if not short:
            break
        given[marked if marked_first and marked in short else min(short, key=given.__getitem__)] += 1
    return [max(least, min(need, rows)) for need, rows in zip(needs, given, strict=True)]


class Stack(Layout):
    """Cards one below the other, see ``heights``."""

    name = "stack"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        cards = [child for child in children if isinstance(child, CandidateCard)]
        needs = [card.need(size.width) for card in cards]
        marked = next((n for n, card in enumerate(cards) if card.has_class("-marked")), 0)
        rows = heights(size.height, needs, [card.growing for card in cards], marked)
        tops = [sum(rows[:n]) for n in range(len(rows))]
        return [
            WidgetPlacement(Region(0, top, size.width, height), NULL_OFFSET, NULL_SPACING, card)
            for card, top, height in zip(cards, tops, rows, strict=True)
        ]
