"""The app: it shows the first screen, then loads the model behind it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from textual.app import App
from textual.binding import Binding
from textual.reactive import var

from fate.config import Config
from fate.core.choice import Candidate, Choice
from fate.core.errors import FateError
from fate.core.story import StorySummary
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store
from fate.tui.commands import KeyCommands
from fate.tui.memory import remember, remembered
from fate.tui.messages import EngineFailed, EngineProgress, EngineReady
from fate.tui.screens.keys import KeysScreen
from fate.tui.screens.library import LibraryScreen
from fate.tui.screens.openings import OpeningsScreen
from fate.tui.screens.what_if import WhatIfScreen
from fate.tui.screens.writing import WritingScreen

if TYPE_CHECKING:
    from fate.engine import Engine


class FateApp(App[None]):
    """A library of stories, and the story being written.

    Args:
        begin: start at a new story rather than at the library.
        opening: the new story's opening; None lets the reader choose one.
        engine: a model that is already loaded; by default ``config.model`` is loaded in the background.
    """

    TITLE = "fate"
    CSS_PATH = "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall")]
    COMMANDS = App.COMMANDS | {KeyCommands}
    BINDINGS = [
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit", tooltip="Leave fate at once"),
    ]

    engine: var[Engine | None] = var(None)
    doing = var("getting ready")  # what the loading of the model is doing

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        begin: bool = False,
        opening: str | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.store = store
        self.set_reactive(FateApp.engine, engine)
        self.engine_in_use = threading.Lock()
        self.failure: str | None = None  # why the app had to stop
        self.seen_parameters: set[str] = set()  # choices whose parameters the reader has looked at
        self._begin = begin
        self._opening = opening

    def on_mount(self) -> None:
        try:
            self._dress()
        except FateError as error:
            self.fail(error)
            return
        stories = self.stories()
        if self.failure:
            return
        self.push_screen(LibraryScreen())
        if self._opening is not None:
            self.begin_story(self._opening)
        elif self._begin or not stories:
            self.push_screen(OpeningsScreen())
        if self.engine is None:
            self.call_after_refresh(self._load_engine)

    def _dress(self) -> None:
        """Put on the theme and the keys of the settings. Raises FateError for those that there are not."""
        theme = self.config.theme or remembered().get("theme", "")
        if self.config.theme and theme not in self.available_themes:
            raise FateError(f"There is no theme {theme!r}; choose among {', '.join(sorted(self.available_themes))}.")
        if theme in self.available_themes:
            self.theme = theme
        self.set_keymap(self.config.keymap)
        worn = self.theme  # what was put on here was not picked
        self.theme_changed_signal.subscribe(
            self, lambda theme: remember(theme=theme.name) if theme.name != worn else None
        )

    def stories(self) -> list[StorySummary]:
        """All stories; none, and the app ends, where the database cannot be read."""
        try:
            return self.store.stories()
        except FateError as error:
            self.fail(error)
            return []

    def begin_story(self, opening: str) -> None:
        """Write down a new story and show it."""
        try:
            story_id = self.store.new_story(opening)
        except FateError as error:
            self.tell_not_kept(error)
        else:
            if isinstance(self.screen, OpeningsScreen):  # which stays, with what was typed, where nothing was kept
                self.pop_screen()
            self.show_story(story_id)

    def tell_not_kept(self, error: FateError) -> None:
        self.notify(f"Not kept: {error}", severity="error", timeout=60, markup=False)

    def show_story(self, story_id: str) -> None:
        try:
            self.push_screen(WritingScreen(self.store.path(story_id)))
        except FateError as error:
            self.fail(error)

    def show_what_if(self, choice: Choice, candidate: Candidate) -> None:
        """Show a candidate under other settings, if the model that wrote it is loaded and not at work."""
        writing = next(s for s in reversed(self.screen_stack) if isinstance(s, WritingScreen))
        if not writing.is_open:
            self.notify("Ask once the candidates are complete.")
        elif self.engine is None or choice.model.weights_sha256 != self.engine.info.weights_sha256:
            self.notify(f"{choice.model.name} wrote this; start fate with that model to ask.", markup=False)
        elif len(choice.prompt_ids) + candidate.written.settings.max_new_tokens > self.engine.context:
            self.notify("This was written after more than the model may read now; raise context.", markup=False)
        else:
            self.seen_parameters.add(choice.id)
            self.push_screen(WhatIfScreen(choice, candidate))

    def fail(self, error: FateError) -> None:
        """End the app, and let the command line say why."""
        self.failure = str(error)
        self.exit(return_code=1)

    def playthrough(self, story_id: str) -> Playthrough:
        """A story ready to be played, once the engine is there."""
        assert self.engine is not None
        policy = UniformPolicy(self.config.ranges.settings_ranges())
        return Playthrough(self.store, self.engine, policy, story_id, annotator=self.config.annotator)

    def action_keys(self) -> None:
        if not isinstance(self.screen, KeysScreen):
            self.push_screen(KeysScreen(self.screen.active_bindings.values()))

    # --- the model --------------------------------------------------------------------------------

    def _load_engine(self) -> None:
        # A daemon, because an import cannot be interrupted and leaving must not wait for it.
        threading.Thread(target=self._load_engine_in_background, daemon=True).start()

    def _load_engine_in_background(self) -> None:
        try:
            self.post_message(EngineProgress("waking the storyteller"))
            from fate.engine import load

            engine = load(
                self.config.model,
                **self.config.loading(),
                progress=lambda doing: self.post_message(EngineProgress(doing)),
            )
        except FateError as error:
            self.post_message(EngineFailed(error))
        except Exception as error:  # whatever it was, the reader must not wait for ever
            self.post_message(EngineFailed(FateError(f"The model could not be loaded: {error!r}.")))
        else:
            self.post_message(EngineReady(engine))

    def on_engine_progress(self, message: EngineProgress) -> None:
        self.doing = message.doing

    def on_engine_ready(self, message: EngineReady) -> None:
        self.engine = message.engine

    def on_engine_failed(self, message: EngineFailed) -> None:
        self.fail(message.error)
