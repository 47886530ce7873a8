"""The settings of config.toml, under the same names; each counts as soon as it is given."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from fate.config import Config, Ranges, config_file
from fate.core.errors import FateError
from fate.tui.keymap import check_keymap
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.key_bar import KeyBar
from fate.tui.widgets.setting import Setting

if TYPE_CHECKING:
    from fate.tui.app import FateApp

_NAMES = (
    "model",
    "context",
    "precision",
    "device",
    "chat",
    "look_ahead",
    "policy",
    "annotator",
    "blind",
    "reasons",
    "theme",
    "keymap",
)
_RANGES = ("temperature", "top_k", "typical_p", "muse_damp", "coupling")


class SettingsScreen(Screen[None]):
    """A list of settings; what is given is in the file and in force at once, a model once it is loaded."""

    app: FateApp

    CSS_PATH = "settings.tcss"
    BINDINGS = [
        Binding("escape", "app.pop_screen", "Back", id="settings.back", tooltip="Back to where you came from"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._current: Setting | None = None

    def compose(self) -> ComposeResult:
        yield Bar("Settings")
        with VerticalScroll(can_focus=False):
            for name in _NAMES:
                yield self._setting(name, str(Config.model_fields[name].description))
            yield Static("[ranges]", id="ranges", markup=False)
            for name in _RANGES:
                yield self._setting(f"ranges.{name}", str(Ranges.model_fields[name].description))
        yield Static(id="about", markup=False)
        yield KeyBar()

    def _setting(self, name: str, about: str) -> Setting:
        config = self.app.config
        options: tuple[str, ...] = ()
        nothing = ""
        if name == "theme":
            options, nothing = tuple(sorted(self.app.available_themes)), "the one you last picked"
        elif (field := Config.model_fields.get(name)) and get_origin(field.annotation) is Literal:
            options = get_args(field.annotation)
        value, told = config.value(name), config.told.get(name, "")
        return Setting(name, value, about=about, told=told, options=options, nothing=nothing)

    def on_mount(self) -> None:
        file = config_file()
        self.query_one(Bar).say(str(file) if len(str(file)) < self.size.width // 2 else file.name)
        self.watch(self.app, "doing", self._say_doing, init=False)
        self.watch(self.app, "engine", self._say_loaded, init=False)
        self.watch(self.app, "refused", self._say_refused, init=False)
        self.watch(self.app, "config", self._follow, init=False)

    # --- one setting ------------------------------------------------------------------------------

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        setting = next(node for node in event.widget.ancestors_with_self if isinstance(node, Setting))
        if setting is not self._current:
            if self._current is not None:
                self._current.remove_class("-current")
                if self._current.has_changed:
                    self._give(self._current)
            self._current = setting
            setting.add_class("-current")
            self.query_one("#about", Static).update(setting.about)

    def on_setting_changed(self, event: Setting.Changed) -> None:
        if event.done:
            self._give(event.setting)
        else:
            self._read(event.setting)

    def _give(self, setting: Setting) -> None:
        config = self._read(setting)
        if config is None or config.value(setting.setting) == self.app.config.value(setting.setting):
            return
        try:
            self.app.change(setting.setting, config)
        except FateError as error:
            setting.say(str(error), wrong=True)

    def _read(self, setting: Setting) -> Config | None:
        """The settings with this one as it was typed; None, and that is said beside it, where it cannot be."""
        try:
            value = _keymap(str(setting.value)) if setting.setting == "keymap" else setting.value
            config = self.app.config.changed(setting.setting, value)
            check_keymap(config.keymap)
        except FateError as error:
            setting.say(str(error), wrong=True)
            return None
        setting.say("")
        return config

    # --- what came of it --------------------------------------------------------------------------

    def _follow(self, before: Config, config: Config) -> None:
        for setting in self.query(Setting):
            if before.value(setting.setting) != config.value(setting.setting):
                setting.keep(config.value(setting.setting))
                setting.say("saved")

    def _say_doing(self, doing: str) -> None:
        if self.app.wanted is not None:
            self._of_model().say(f"{doing} …")

    def _say_loaded(self) -> None:
        self._of_model().say("loaded")

    def _say_refused(self, sentence: str) -> None:
        if sentence:
            self._of_model().say(sentence, wrong=True)

    def _of_model(self) -> Setting:
        return self.query_one("#model", Setting)


def _keymap(text: str) -> dict[str, str]:
    """``id=key`` and so on, divided by spaces. Raises FateError."""
    pairs = re.sub(r"\s*=\s*", "=", text).split()
    for pair in pairs:
        if not re.fullmatch(r"[^=]+=[^=]+", pair):
            raise FateError(f"{pair!r} gives no key to anything; write it as in writing.reroll=n.")
    return {name: key for name, _, key in (pair.partition("=") for pair in pairs)}
