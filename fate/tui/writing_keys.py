"""The keys of the writing screen, and what the help says of each."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from fate.core.choice import REASONS
from fate.tui.commands import SETTINGS
from fate.tui.widgets.why import FIRST_KEY

_CHOOSE = "Take this candidate into the story"

BINDINGS: list[BindingType] = [
    Binding("1", "choose(0)", "Choose", key_display="1 2 3", id="writing.choose-1", tooltip=_CHOOSE),
    Binding("2", "choose(1)", "Choose", show=False, id="writing.choose-2", tooltip=_CHOOSE),
    Binding("3", "choose(2)", "Choose", show=False, id="writing.choose-3", tooltip=_CHOOSE),
    Binding("left,up", "move(-1)", "Previous", show=False, id="writing.previous", tooltip="One card back"),
    Binding("right,down", "move(1)", "Next", show=False, id="writing.next", tooltip="One card on"),
    Binding("enter", "take", "Take", show=False, id="writing.take", tooltip="Take the marked candidate"),
    Binding("r", "reroll", "Reroll", id="writing.reroll", tooltip="None is good, three others"),
    Binding("question_mark", "app.keys", "Keys", id="writing.keys", tooltip="Show what every key does"),
    Binding("q", "leave", "Leave", id="writing.leave", tooltip="Back to the library; all is kept"),
    Binding("u", "undo", "Undo", id="writing.undo", tooltip="Back to the choice before"),
    Binding("U", "redo", "Redo", show=False, id="writing.redo", tooltip="Forth again to what was undone"),
    Binding("t", "tie", "Tie", show=False, id="writing.tie", tooltip="All are alike, three others"),
    Binding("e", "edit", "Edit", id="writing.edit", tooltip="Take the marked candidate in your own words"),
    Binding("w", "write", "Write", id="writing.write", tooltip="Write the next passage yourself"),
    Binding("b", "branches", "Tree", id="writing.branches", tooltip="All that was ever offered, as a tree"),
    Binding(
        "i", "what_if", "What if", show=False, id="writing.what-if", tooltip="What if: the marked one, drawn otherwise"
    ),
    Binding("space", "pause", "Pause", show=False, id="writing.pause", tooltip="Stop writing for a while; go on"),
    Binding("escape", "cut", "Cut", show=False, id="writing.cut", tooltip="Candidates end where they are"),
    Binding("p", "parameters", "Parameters", id="writing.parameters", tooltip="Show or hide how each was sampled"),
    Binding("s", "save('md')", "Save", show=False, id="writing.save", tooltip="Save the story as a Markdown file here"),
    Binding("S", "save('txt')", "Save", show=False, id="writing.save-text", tooltip="Save it as plain text here"),
    Binding("y", "copy_story", "Copy", show=False, id="writing.copy", tooltip="Copy the story"),
    Binding("Y", "copy_marked", "Copy", show=False, id="writing.copy-marked", tooltip="Copy the marked candidate"),
    Binding("comma", "app.settings", "Settings", show=False, id="writing.settings", tooltip=SETTINGS),
    *(
        Binding(
            str(key),
            f"why({n})",
            word,
            show=False,
            id=f"writing.why-{word}",
            tooltip=f"{word.capitalize()}: why the last was taken",
        )
        for n, (key, word) in enumerate(enumerate(REASONS, FIRST_KEY))
    ),
    Binding("pageup", "scroll_story(-1)", "Scroll up", show=False, id="writing.up", tooltip="Read further up"),
    Binding("pagedown", "scroll_story(1)", "Scroll down", show=False, id="writing.down", tooltip="Read on below"),
    Binding("k", "scroll_card(-1)", "Card up", show=False, id="writing.card-up", tooltip="The marked card, further up"),
    Binding(
        "j", "scroll_card(1)", "Card down", show=False, id="writing.card-down", tooltip="The marked card, further down"
    ),
]

# Actions for which there are no candidates once a story has its end.
OF_CANDIDATES = frozenset(
    [
        "choose",
        "move",
        "take",
        "tie",
        "edit",
        "write",
        "what_if",
        "pause",
        "cut",
        "parameters",
        "copy_marked",
        "scroll_card",
    ]
)
