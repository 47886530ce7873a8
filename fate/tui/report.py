"""What the choices of a database say, in words and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

if TYPE_CHECKING:
    from fate.dataset.stats import Share, Stats
    from fate.learn.ranker import Ranker

_BAR = 24  # letters of a plot; where there is less room than _WIDE, it is shorter and its numbers stand below it
_WIDE = 76  # letters that the longest line takes
_FULL = 2 / 3  # the share that fills it; chance is in the middle
_SHADES = " ░▒▓█"
_THIRDS = ("low", "middle", "high")


def counted(found: Stats, width: int) -> Content:
    """What was counted, as one text, whose plots are no wider than ``width`` letters, if that is at least 36."""
    from fate.dataset.stats import STEPS

    lines: list[Content | str] = [
        ", ".join(
            f"{n:,} {one if n == 1 else many}"
            for n, one, many in (
                (found.stories, "story", "stories"),
                (found.choices, "choice", "choices"),
                (found.candidates, "candidate", "candidates"),
            )
        ),
        ", ".join(f"{kind.replace('_', ' ')} {n:,}" for kind, n in found.decisions.items()) or "nothing decided yet",
    ]
    if found.reading_seconds is not None:
        lines.append(f"{found.reading_seconds:.1f} s to choose (median)")
    lines += [f"agreement with oneself: {found.agreement_within}", f"agreement with others: {found.agreement_between}"]
    lines += _title("Chosen, by place on the screen")
    for place, share in enumerate(found.positions, 1):
        lines += _plot(f"{place}", share, width)
    for name, thirds in found.wins.items():
        lines += _title(f"Chosen, by {name}")
        for low, high, share in thirds:
            lines += _plot(f"{low:.3g} to {high:.3g}", share, width)
    wide = width >= _WIDE
    lines += _title(f"Chosen, by temperature {'(down) and top_k (across)' if wide else 'and, in it, top_k'}")
    for word, row in zip(_THIRDS, found.grid, strict=True):
        lines += _row(word, row, width)
    lines += _title(f"Chosen, by step of the story and {'temperature (low, middle, high)' if wide else 'temperature'}")
    for (first, last), row in zip(STEPS, found.steps, strict=True):
        steps = f"{first} on" if last is None else f"{first}" if first == last else f"{first} to {last}"
        lines += _row(steps, row, width)
    return _joined(lines)


def liked(ranker: Ranker | None, width: int) -> Content:
    """What readers like in a text, no wider than ``counted``; of too few choices there is no ranker."""
    lines = _title("Liked in a text, by the odds to be chosen")
    if ranker is None:
        return _joined([*lines, "not enough data"])
    for trait, times, low, high in ranker.odds():
        odds = f"× {times:.2f} ({low:.2f} to {high:.2f})"
        lines += [f"{trait:>42}  {odds}"] if width >= _WIDE else [trait, f"    {odds}"]
    return _joined([*lines, str(ranker)])


def _joined(lines: list[Content | str]) -> Content:
    return Content("\n").join(Content(line) if isinstance(line, str) else line for line in lines)


def _title(words: str) -> list[Content | str]:
    return ["", Content.styled(words, "bold")]


def _plot(name: str, share: Share, width: int) -> list[str]:
    """A bar whose middle is chance, with the numbers beside or below it."""
    wide = width >= _WIDE
    letters = _BAR if wide else max(2, min(_BAR, (width - 16) // 2 * 2))
    if not share.says_something:
        return [f"{name:>14}  {' ' * letters if wide else ''}{'  ' if wide else ''}{share}"]
    filled = min(letters, round(share.part / share.whole / _FULL * letters))
    bar = "".join("█" if n < filled else "┆" if n == letters // 2 else "·" for n in range(letters))
    low, high = share.interval()
    numbers = f"{share.part / share.whole:.0%} ({low:.0%} to {high:.0%}) of {share.whole:,}"
    plot = f"{name:>14}  {bar}"
    return [f"{plot}  {numbers}"] if wide else [plot, f"{numbers:>{len(plot)}}"]


def _row(name: str, shares: list[Share], width: int) -> list[str]:
    """Shares side by side, each with a shade; where there is no room for that, one below the other."""
    line = f"{name:>14}  " + "  ".join(f"{_cell(share):<18}" for share in shares).rstrip()
    if width >= max(_WIDE, len(line)):
        return [line]
    names = [name, *[""] * len(shares)]
    return [
        f"{name:>8}  {third:<6}  {_cell(share)}" for name, third, share in zip(names, _THIRDS, shares, strict=False)
    ]


def _cell(share: Share) -> str:
    if not share.says_something:
        return f"not enough data {share.whole:,}"
    part = share.part / share.whole
    shade = _SHADES[min(len(_SHADES) - 1, round(part / _FULL * (len(_SHADES) - 1)))]
    low, high = share.interval()
    return f"{shade * 2} {part:.0%} ({100 * low:.0f}–{high:.0%}) {share.whole:,}"
