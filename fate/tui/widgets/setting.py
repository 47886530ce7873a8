"""One setting: its name, a place to change it, and what is wrong with what was typed there."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input, Select, Static

from fate.core.text import one_line

# The arrow keys go from setting to setting, whatever else they would do there.
_MOVE = [
    Binding("up", "app.focus_previous", "Move", key_display="↑ ↓", id="settings.up", tooltip="The setting before"),
    Binding("down", "app.focus_next", "Move", show=False, id="settings.down", tooltip="The next setting"),
]


class Line(Input):
    """A line whose enter key has its meaning in the footer."""

    BINDINGS = [
        Binding("enter", "submit", "Save", id="settings.save", tooltip="Save it; so does going to another"),
        *_MOVE,
    ]


class OneOf(Select[str], inherit_bindings=False):
    """A list to choose from, which opens."""

    BINDINGS = [
        Binding("enter,space", "show_overlay", "Choose", id="settings.choose", tooltip="Show what it can be"),
        *_MOVE,
    ]


class YesNo(Static, can_focus=True):
    """A word that turns into the other one; a box with a cross would tell them apart by colour alone."""

    BINDINGS = [
        Binding("enter,space", "turn", "Change", id="settings.turn", tooltip="Yes to no, no to yes"),
        *_MOVE,
    ]

    class Changed(Message):
        """It is the other one now."""

    value = reactive(False)

    def __init__(self, value: bool) -> None:
        super().__init__()
        self.set_reactive(YesNo.value, value)

    def render(self) -> str:
        return "yes" if self.value else "no"

    def action_turn(self) -> None:
        self.value = not self.value
        self.post_message(self.Changed())

    def on_click(self) -> None:
        if not self.disabled:
            self.action_turn()


class Setting(Vertical):
    """A setting: text, two numbers from low to high, yes or no, or one of several.

    Args:
        name: as in the file.
        value: a bool, a (low, high) pair, or anything that its ``str`` says.
        about: what it means, in a few words.
        told: the flag or variable that it comes from, if it cannot be changed here.
        options: what it can be, if it is one of several; where it can be none of them, that is called ``nothing``.
    """

    class Changed(Message):
        """It says something else; until the reader is ``done`` with it, that may not be all."""

        def __init__(self, setting: Setting, *, done: bool) -> None:
            super().__init__()
            self.setting = setting
            self.done = done

    def __init__(
        self, name: str, value: object, *, about: str, told: str = "", options: Sequence[str] = (), nothing: str = ""
    ) -> None:
        super().__init__(id=name.replace(".", "-"))
        self.setting = name
        self.about = about
        self.told = told
        self._kept = value
        self._editors = list(_editors(value, options, nothing))
        for editor in self._editors:
            editor.disabled = bool(told)

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Static(self.setting.rpartition(".")[2], classes="name", markup=False)
            for number, editor in enumerate(self._editors):
                if number:
                    yield Static("to", classes="to")
                yield editor
        note = Static(f"from {self.told}" if self.told else "", classes="note", markup=False)
        note.display = bool(self.told)
        yield note

    @property
    def value(self) -> object:
        """As it was typed: two texts for a pair."""
        values = [editor.value for editor in self._editors if isinstance(editor, Input | YesNo | Select)]
        return tuple(values) if len(values) > 1 else "" if values[0] is Select.NULL else values[0]

    @property
    def has_changed(self) -> bool:
        return self.value != _as_typed(self._kept)

    def keep(self, value: object) -> None:
        """Show a value that is in force."""
        self._kept = value
        typed = _as_typed(value)
        for editor, part in zip(self._editors, typed if isinstance(typed, tuple) else (typed,), strict=True):
            if isinstance(editor, Input | YesNo | Select) and editor.value != part:
                with editor.prevent(Input.Changed, Select.Changed):
                    editor.value = part or Select.NULL if isinstance(editor, Select) else part

    def say(self, words: str, *, wrong: bool = False) -> None:
        """Say something below the setting."""
        note = self.query_one(".note", Static)
        note.update(f"✗ {words}" if wrong else words)
        note.display = bool(words)
        note.set_class(wrong, "-wrong")
        if wrong:
            self.call_after_refresh(self.scroll_visible, animate=False)

    @on(Input.Changed)
    @on(Input.Submitted)
    @on(YesNo.Changed)
    @on(Select.Changed)
    def _pass_on(self, event: Message) -> None:
        event.stop()
        if self.has_changed:
            self.post_message(self.Changed(self, done=not isinstance(event, Input.Changed)))
        elif self.query_one(".note").has_class("-wrong"):
            self.say("")  # it is as it was


def _editors(value: object, options: Sequence[str], nothing: str) -> list[Widget]:
    if isinstance(value, bool):
        return [YesNo(value)]
    if options:
        chosen = str(value) or Select.NULL
        choices = [(option, option) for option in options]
        return [OneOf(choices, prompt=nothing, allow_blank=bool(nothing), value=chosen, compact=True)]
    typed = _as_typed(value)
    texts = typed if isinstance(typed, tuple) else (typed,)
    kind = "-one-of-two" if len(texts) > 1 else ""
    return [Line(str(text), compact=True, select_on_focus=False, classes=kind) for text in texts]


def _as_typed(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, tuple):
        return tuple(str(part) for part in value)
    if isinstance(value, dict):
        return " ".join(f"{name}={part}" for name, part in value.items())
    return one_line(str(value))  # as an editor is


if __name__ == "__main__":
    from fate.tui.widgets._demo import show

    show(
        lambda: Vertical(
            Setting("annotator", "reader", about="the name your decisions are published under"),
            Setting("ranges.temperature", (0.6, 1.0), about="from low to high"),
            Setting("blind", True, about="hide how candidates were sampled"),
            Setting("device", "auto", about="where the model runs", options=("auto", "cpu", "cuda"), told="--device"),
            Setting("context", "8", about="tokens of story and candidate together"),
        ),
        lambda settings: settings.query(Setting).last().say("context must be at least 64", wrong=True),
        screen="settings",
    )
