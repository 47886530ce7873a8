"""The app: it shows a frame, then opens the book of stories behind it, then loads the model behind that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.reactive import var
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import Static

from fate.config import Config, save
from fate.core.errors import FateError
from fate.tui import screens
from fate.tui.commands import KeyCommands
from fate.tui.first_frame import WORDS
from fate.tui.keymap import check_keymap, key_of
from fate.tui.loading import load_in_background
from fate.tui.memory import remember, remembered
from fate.tui.messages import EngineFailed, EngineProgress, EngineReady
from fate.tui.saving import write_story
from fate.tui.terminal import TerminalApp
from fate.tui.widgets.bar import Bar

if TYPE_CHECKING:
    from fate.core.choice import Candidate, Choice
    from fate.core.story import StorySummary
    from fate.engine import Engine
    from fate.playthrough import Playthrough
    from fate.policy import Policy
    from fate.store import Store


_OF_THE_MODEL = ("model", "context", "precision", "device", "chat")  # settings that count once it is loaded anew


class FateApp(TerminalApp):
    """A library of stories, and the story being written.

    Args:
        store: a database that is already open; by default that of ``config.db`` is opened behind the first frame.
        begin: start at a new story rather than at the library.
        opening: the new story's opening; None lets the reader choose one.
        engine: a model that is already loaded; by default ``config.model`` is loaded in the background.
        takes_over: is called just before screen, keys and signals are the app's.
    """

    TITLE = "fate"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall")]
    COMMANDS = {KeyCommands}
    BINDINGS = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit", tooltip="Leave fate at once"),
    ]

    config: var[Config] = var(Config)  # the settings in force
    engine: var[Engine | None] = var(None)
    doing = var("getting ready")  # what the loading of the model is doing
    refused = var("")  # why the model that was wanted last cannot be used; the one before goes on writing

    def __init__(
        self,
        config: Config,
        store: Store | None = None,
        *,
        begin: bool = False,
        opening: str | None = None,
        engine: Engine | None = None,
        takes_over: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.set_reactive(FateApp.config, config)
        self.opened = store
        self.set_reactive(FateApp.engine, engine)
        self.engine_in_use = threading.Lock()
        self.failure: str | None = None  # why the app had to stop
        self.left: str | None = None  # the story that the library is to mark
        self.wanted: Config | None = None  # settings with another model, which is being loaded
        self._loading = 0  # how many models are
        self.has_begun = False
        self._games: WeakSet[Playthrough] = WeakSet()
        self._begin = begin
        self._opening = opening
        self._takes_over = takes_over

    def compose(self) -> ComposeResult:
        yield Bar("fate")
        yield Static(WORDS, id="curtain")

    def on_load(self) -> None:
        self._takes_over()

    def on_mount(self) -> None:
        try:
            self._put_on_theme()
        except FateError as error:
            self.fail(error)
        else:
            self.theme_changed_signal.subscribe(self, self._remember_theme)
            if self.opened:
                self._open_book()
            else:
                self.call_after_refresh(self._open_book)  # what this imports would be half a second of nothing to see

    def _open_book(self) -> None:
        """Show the stories, or the one that is wanted."""
        try:
            self._give_keys()
            if self.opened is None:
                from fate.store import Store

                self.opened = Store(self.config.db)
        except FateError as error:
            self.fail(error)
            return
        stories = self.stories()
        if self.failure:
            return
        self.push_screen(screens.LibraryScreen())
        if self._opening is not None:
            self.begin_story(self._opening)
        elif self._begin or not stories:
            self.push_screen(screens.OpeningsScreen())
        self.has_begun = True
        if self.engine is None:
            self.call_after_refresh(self._load_engine)

    @property
    def store(self) -> Store:
        """The database, once it is open."""
        assert self.opened is not None
        return self.opened

    def key(self, name: str) -> str:
        """The key that a binding has in the settings, as it is written for a reader."""
        return key_of(name, self.config.keymap)

    @property
    def is_loading(self) -> bool:
        return self._loading > 0

    def _give_keys(self) -> None:
        """Bind the keys of the settings. Raises FateError for those that there are not."""
        check_keymap(self.config.keymap)
        self.set_keymap(self.config.keymap)

    def _put_on_theme(self) -> None:
        """Put on the theme of the settings, or the one picked last. Raises FateError for one that there is not."""
        theme = self.config.theme or remembered().get("theme", "")
        if self.config.theme and theme not in self.available_themes:
            raise FateError(f"There is no theme {theme!r}; choose among {', '.join(sorted(self.available_themes))}.")
        if theme not in self.available_themes and self._has_16_colours:
            theme = "ansi-dark"  # of other themes the nearest of 16 colours may be as light as what is written on it
        self._theme_put_on = theme  # what was put on here was not picked
        if theme in self.available_themes:
            self.theme = theme

    def _remember_theme(self, theme: Theme) -> None:
        """Keep the theme that was picked: in the file, if that says which, or else where the next start finds it."""
        if theme.name == self._theme_put_on:
            return
        self._theme_put_on = ""
        if self.config.theme and "theme" not in self.config.told:
            try:
                self.change("theme", self.config.changed("theme", theme.name))
            except FateError as error:
                self.tell_not_kept(error)
        else:
            remember(theme=theme.name)

    @property
    def _has_16_colours(self) -> bool:
        return not (self.is_headless or self.no_color) and self.console.color_system in ("standard", "windows")

    def stories(self) -> list[StorySummary]:
        """All stories; none, and the app ends, where the database cannot be read."""
        try:
            return self.store.stories()
        except FateError as error:
            self.fail(error)
            return []

    def waits(self, story_id: str) -> bool:
        """Whether candidates wait for an answer where a story stands."""
        try:
            return self.store.open_choice(story_id) is not None
        except FateError as error:
            self.fail(error)
            return False

    def begin_story(self, opening: str) -> None:
        """Write down a new story and show it."""
        try:
            story_id = self.store.new_story(opening)
        except FateError as error:
            self.tell_not_kept(error)
        else:
            if isinstance(self.screen, screens.OpeningsScreen):  # it stays, with what was typed, if nothing was kept
                self.pop_screen()
            self.show_story(story_id)

    def tell_not_kept(self, error: FateError) -> None:
        self.notify(f"Not kept: {error}", severity="error", timeout=60, markup=False)

    def show_story(self, story_id: str) -> None:
        try:
            self.push_screen(screens.WritingScreen(self.store.path(story_id)))
            self.left = story_id
        except FateError as error:
            self.fail(error)

    @work(exclusive=True, group="what-if")
    async def show_what_if(self, choice: Choice, candidate: Candidate) -> None:
        """Show a candidate under other settings, unless the reader goes elsewhere meanwhile."""
        asking = self.screen
        if obstacle := screens.WhatIfScreen.obstacle(self.engine, choice, candidate):
            self.notify(obstacle, markup=False)
            return
        try:
            await asyncio.to_thread(self.store.reveal, choice.id)
        except FateError as error:
            self.tell_not_kept(error)
        else:
            if self.screen is asking:
                self.push_screen(screens.WhatIfScreen(choice, candidate))

    def fail(self, error: FateError) -> None:
        """End the app, and let the command line say why."""
        self.failure = str(error)
        self.exit(return_code=1)

    def playthrough(self, story_id: str) -> Playthrough:
        """A story ready to be played, once the engine is there."""
        from fate.playthrough import Playthrough

        assert self.engine is not None
        game = Playthrough(self.store, self.engine, self._policy(), story_id, annotator=self.config.annotator)
        self._games.add(game)  # see watch_config
        return game

    def action_keys(self) -> None:
        if not isinstance(self.screen, screens.KeysScreen):
            self.push_screen(screens.KeysScreen(self.screen.active_bindings.values()))

    def action_data(self) -> None:
        self._open(screens.DataScreen)

    def action_settings(self) -> None:
        self._open(screens.SettingsScreen)

    def _open(self, screen: type[Screen[None]]) -> None:
        """Show a screen, unless it is open already, if only below another."""
        if not any(isinstance(shown, screen) for shown in self.screen_stack):
            self.push_screen(screen())

    @work
    async def save_story(self, story_id: str, suffix: str) -> None:
        """Write a story to a file and say where it is; see ``fate.tui.saving``."""
        try:
            file = await asyncio.to_thread(lambda: write_story(self.store.path(story_id), suffix))
        except (FateError, OSError) as error:
            self.notify(f"Not saved: {error}", severity="error", markup=False)
        else:
            self.notify(f"Saved as {file.resolve()}", markup=False)

    # --- settings ---------------------------------------------------------------------------------

    def change(self, name: str, config: Config) -> None:
        """Put ``config``, in which the setting ``name`` is new, in force and into the file.

        Another model is loaded first; see ``refused``. Raises FateError, and nothing is changed.
        """
        if name in _OF_THE_MODEL:
            self.wanted, self.refused = (self.wanted or self.config).changed(name, config.value(name)), ""
            self._load(self.wanted)
        else:
            check_keymap(config.keymap)
            self._keep_setting(name, config)

    def _keep_setting(self, name: str, config: Config) -> None:
        value = config.value(name)
        save(name, None if value in ("", {}) else value)
        self.config = config
        if name == "theme":
            self._put_on_theme()
        elif name == "keymap":
            self._give_keys()

    def _policy(self) -> Policy:
        from fate.playthrough import policy_named

        assert self.engine is not None
        ranges = self.config.ranges.settings_ranges(self.engine.sampler)
        return policy_named(self.config.policy, ranges, self.store, self.engine)

    def watch_config(self, before: Config, now: Config) -> None:
        for game in self._games:
            game.equip(annotator=now.annotator)
            if (now.policy, now.ranges) != (before.policy, before.ranges):
                game.equip(policy=self._policy())

    def watch_engine(self) -> None:
        for game in self._games:
            game.equip(engine=self.engine, policy=self._policy())

    # --- the model --------------------------------------------------------------------------------

    def _load_engine(self) -> None:
        self._load(self.config)

    def _load(self, config: Config) -> None:
        self._loading += 1
        load_in_background(config, self.post_message)

    def on_engine_progress(self, message: EngineProgress) -> None:
        self.doing = message.doing

    def on_engine_ready(self, message: EngineReady) -> None:
        self._loading -= 1
        if self.engine is not None and message.config is not self.wanted:
            return  # it comes too late
        self.engine = message.engine
        if message.config is self.wanted is not None:
            wanted, self.wanted = self.wanted, None
            for name in _OF_THE_MODEL:
                if wanted.value(name) != self.config.value(name):
                    try:
                        self._keep_setting(name, self.config.changed(name, wanted.value(name)))
                    except FateError as error:
                        self.tell_not_kept(error)

    def on_engine_failed(self, message: EngineFailed) -> None:
        self._loading -= 1
        if self.engine is None and self._loading <= 0:
            self.fail(message.error)
        elif message.config is self.wanted is not None:
            self.wanted, self.refused = None, str(message.error)
            self.notify(f"{message.error} The model that was there goes on.", severity="error", markup=False)
