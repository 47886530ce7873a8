"""The story being written: three candidates, one key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import get_current_worker

from fate.config import Config
from fate.core.choice import REASONS, Choice, Continuation, DecisionKind
from fate.core.errors import FateError
from fate.core.story import Path
from fate.core.text import harmless
from fate.playthrough import Answer, Playthrough
from fate.power import on_battery
from fate.tui.messages import REPAINT, Offered, OfferFailed
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.settings import SETTINGS
from fate.tui.screens.tree import OPENING, TreeScreen
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.candidates import Candidates
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import FIRST_KEY, Why

if TYPE_CHECKING:
    from fate.engine import Engine
    from fate.tui.app import FateApp

GRACE = 0.25  # seconds that new candidates are on screen before they take keys

_CHOOSE = "Take this candidate into the story"

# loading: no model yet. writing: candidates stream in. paused: they would. open: they wait for an answer.
# deciding: an answer is being written down. ended: the story has its end.
State = Literal["loading", "writing", "paused", "open", "deciding", "ended", "failed"]


class WritingScreen(Screen[None]):
    """The story so far over its candidates; every answer is on disk before the screen moves on."""

    app: FateApp

    CSS_PATH = "writing.tcss"
    BINDINGS = [
        Binding("1", "choose(0)", "Choose", key_display="1 2 3", id="writing.choose-1", tooltip=_CHOOSE),
        Binding("2", "choose(1)", "Choose", show=False, id="writing.choose-2", tooltip=_CHOOSE),
        Binding("3", "choose(2)", "Choose", show=False, id="writing.choose-3", tooltip=_CHOOSE),
        Binding("left,up", "move(-1)", "Previous", show=False, id="writing.previous", tooltip="One card back"),
        Binding("right,down", "move(1)", "Next", show=False, id="writing.next", tooltip="One card on"),
        Binding("enter", "take", "Take", show=False, id="writing.take", tooltip="Take the marked candidate"),
        Binding("r", "reroll", "Reroll", id="writing.reroll", tooltip="None is good: three others"),
        Binding("u", "undo", "Undo", id="writing.undo", tooltip="Back to the choice before"),
        Binding("U", "redo", "Redo", show=False, id="writing.redo", tooltip="Say again what was undone"),
        Binding("t", "tie", "Tie", show=False, id="writing.tie", tooltip="All alike: keep that, and three others"),
        Binding("e", "edit", "Edit", id="writing.edit", tooltip="Take the marked candidate in your own words"),
        Binding("w", "write", "Write", id="writing.write", tooltip="Write the next passage yourself"),
        Binding("b", "branches", "Tree", id="writing.branches", tooltip="All that was ever offered, as a tree"),
        Binding("i", "what_if", "What if", show=False, id="writing.what-if", tooltip="Marked one, other settings"),
        Binding("space", "pause", "Pause", show=False, id="writing.pause", tooltip="Stop writing for a while; go on"),
        Binding("escape", "cut", "Cut", show=False, id="writing.cut", tooltip="Candidates end where they are"),
        Binding("question_mark", "app.keys", "Keys", id="writing.keys", tooltip="Show what every key does"),
        Binding("q", "leave", "Leave", id="writing.leave", tooltip="Back to the library; all is kept"),
        Binding("p", "parameters", "Parameters", id="writing.parameters", tooltip="Show or hide how each was sampled"),
        Binding("y", "copy_story", "Copy", show=False, id="writing.copy", tooltip="Copy the story"),
        Binding("Y", "copy_marked", "Copy", show=False, id="writing.copy-marked", tooltip="Copy the marked candidate"),
        Binding("comma", "app.settings", "Settings", show=False, id="writing.settings", tooltip=SETTINGS),
        *(
            Binding(str(key), f"why({n})", word, show=False, id=f"writing.why-{word}", tooltip=f"Why the last: {word}")
            for n, (key, word) in enumerate(enumerate(REASONS, FIRST_KEY))
        ),
        Binding("pageup", "scroll_story(-1)", "Scroll up", show=False, id="writing.up", tooltip="Read further up"),
        Binding("pagedown", "scroll_story(1)", "Scroll down", show=False, id="writing.down", tooltip="Read on below"),
        Binding("k", "scroll_card(-1)", "Card up", show=False, id="writing.card-up", tooltip="Marked card: up"),
        Binding("j", "scroll_card(1)", "Card down", show=False, id="writing.card-down", tooltip="Marked card: down"),
    ]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._playthrough: Playthrough | None = None
        self._state: State = "loading"
        self._round = 0  # counts the offers; a message of an earlier one comes too late
        self._rows: tuple[Continuation, ...] = ()  # the candidates on the screen
        self._choice: Choice | None = None  # theirs, once they are complete and on disk
        self._takes_keys = 0.0  # when the grace of these candidates is over
        self._wish: Answer | None = None  # given before the candidates were complete
        self._cut = False  # the candidates shall end where they are
        self._asking = False  # another screen is about to come, or there
        self._draft = ""  # a text by hand that could not be kept
        self._leaving = False  # as soon as an answer is kept
        self._past_the_end: str | None = None  # the ending after which the reader wanted to go on

    def compose(self) -> ComposeResult:
        yield Bar(self._path.title)
        yield StoryView()
        yield Why()
        yield Candidates()
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        self.query_one(StoryView).show(self._path, ended=self._path.ended)
        self.watch(self.app, "config", self._heed)
        self.watch(self.app, "doing", self._say_doing)
        self.watch(self.app, "engine", self._begin)

    # --- what is going on -------------------------------------------------------------------------

    @property
    def _candidates(self) -> Candidates:
        return self.query_one(Candidates)

    @property
    def is_open(self) -> bool:
        """Whether complete candidates wait for an answer."""
        return self._state == "open"

    def _say_doing(self, doing: str) -> None:
        if self._state == "loading":
            self.query_one(Bar).say(f"{doing} …")

    def _heed(self, before: Config, config: Config) -> None:
        """Settings count at once, also when they change while the story is open."""
        self.query_one(Why).display = config.reasons
        if before is config or before.blind != config.blind:
            self._candidates.parameters = not config.blind

    def _begin(self, engine: Engine | None) -> None:
        if engine is None or self._playthrough is not None:
            return
        try:
            self._playthrough = self.app.playthrough(self._path.story_id)
        except FateError as error:
            self.app.fail(error)
        else:
            self._go_on()

    def _enter(self, state: State) -> None:
        self._state = state
        choice = f"choice {len(self._path.passages) + 1}"
        said: dict[State, str] = {
            "writing": f"{choice} · writing …",
            "paused": f"{choice} · paused, space goes on",
            "open": f"{choice} · which one?",
            "deciding": f"{choice} · keeping it …",
            "ended": "the end",
            "failed": "stopped · r tries again",
        }
        self.query_one(Bar).say(said[state])
        self.query_one("#candidates").set_class(state == "ended", "-hidden")

    def _go_on(self) -> None:
        """Show where the story stands, and offer what may follow."""
        assert self._playthrough is not None
        if self._leaving:
            self.app.pop_screen()
            return
        self.workers.cancel_group(self, "offer")
        self._round += 1
        self._path = self._playthrough.path
        self._rows, self._choice, self._wish, self._cut = (), None, None, False
        ended = self._path.ended and self._path.tip_id != self._past_the_end
        self.query_one(StoryView).show(self._path, ended=ended)
        self.query_one(Why).ask(self._playthrough)
        self._candidates.clear()
        if ended:
            self._enter("ended")
            return
        self._candidates.mark(0)
        self._enter("writing")
        self._write(self._playthrough, self._round)

    @work(thread=True, group="offer")
    def _write(self, playthrough: Playthrough, round_: int) -> None:
        worker, painted = get_current_worker(), 0.0
        try:
            with self.app.engine_in_use:  # the offer before this one may still be noticing that it is over
                if worker.is_cancelled:
                    return
                for offer in playthrough.offer(stop=lambda: bool(self._wish) or self._cut):
                    while self._state == "paused" and not (worker.is_cancelled or self._wish or self._cut):
                        time.sleep(REPAINT)
                    if worker.is_cancelled:
                        return
                    if offer.choice or time.monotonic() - painted >= REPAINT:
                        painted = time.monotonic()
                        self.post_message(Offered(round_, offer))
        except FateError as error:
            self.post_message(OfferFailed(round_, str(error)))
        except Exception as error:  # a model can fail in any way; the story stands and can be gone on with
            self.post_message(OfferFailed(round_, f"No candidates could be written: {error!r}."))

    def _while_they_are_read(self) -> None:
        """Write what may follow each candidate, so that it is there when one is chosen."""
        if self._playthrough and self._choice and self.is_open and self.app.config.look_ahead and not on_battery():
            self._write_ahead(self._playthrough, self._choice)

    on_screen_resume = _while_they_are_read  # whatever stood over this screen may have wanted the engine

    @work(thread=True, group="ahead", exclusive=True)
    def _write_ahead(self, playthrough: Playthrough, choice: Choice) -> None:
        worker = get_current_worker()

        def stop() -> bool:
            here = self.app.screen is self  # is_current is true behind another screen that shows this one through
            return worker.is_cancelled or self._choice is not choice or not (self.is_open and here)

        try:
            with self.app.engine_in_use:
                if not stop():
                    playthrough.look_ahead(choice, stop)
        except Exception as error:  # nobody has asked for it yet; the next offer says it if it still is so
            self.log.warning(f"nothing could be written ahead: {error!r}")

    def on_offered(self, message: Offered) -> None:
        if message.round != self._round:
            return
        if not self._rows:
            self._takes_keys = time.monotonic() + GRACE
        self._rows, self._choice = message.offer.rows, message.offer.choice
        assert self._playthrough is not None
        self._candidates.show(self._playthrough, message.offer.choice_id, self._rows)
        if self._choice and self._state != "deciding":
            self._enter("open")
            if self._wish:
                self._answer(self._wish)
            else:
                self._while_they_are_read()

    def on_offer_failed(self, message: OfferFailed) -> None:
        if message.round == self._round:
            if self._wish:
                self._keep_draft(self._wish.text)
            self._wish, self._leaving = None, False
            self._enter("failed")
            self.notify(message.sentence, severity="error", timeout=60, markup=False)

    # --- what the reader does ---------------------------------------------------------------------

    def action_choose(self, position: int) -> None:
        if self._rows and (self._state == "open" or self._rows[position].text):
            self._candidates.mark(position)
            self._give("chosen", position)

    def action_take(self) -> None:
        self.action_choose(self._candidates.marked)

    def on_candidate_card_picked(self, message: CandidateCard.Picked) -> None:
        self.action_choose(message.position)

    def action_reroll(self) -> None:
        if self._state in ("ended", "loading"):
            self._past_the_end = self._path.tip_id
        if self._state in ("ended", "failed"):
            self._go_on()
        else:
            self._give("none_good")

    def action_tie(self) -> None:
        self._give("tie")

    def action_edit(self) -> None:
        if self._state == "open":
            text = harmless(self._rows[self._candidates.marked].text.strip())
            self._ask_for_words("edited", PassageScreen("In your own words", text))
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).say("edit once they are complete")

    def action_write(self) -> None:
        if self._rows and self._state in ("writing", "paused", "open") and not self._wish:
            self._ask_for_words("written", PassageScreen("Your own passage", self._draft))

    @work
    async def _ask_for_words(self, kind: DecisionKind, screen: PassageScreen) -> None:
        if self._asking:
            return
        self._asking, round_, position = True, self._round, self._candidates.marked
        try:
            words = await self.app.push_screen_wait(screen)
        finally:
            self._asking = False
        if words is not None and not (self._round == round_ and self._give(kind, position, words)):
            self._keep_draft(words)

    def _keep_draft(self, words: str) -> None:
        """What was written by hand is not lost with the candidates that it was to answer."""
        if words:
            self._draft = words
            self.notify("Your words are not in the story; w brings them back.", severity="warning")

    def action_pause(self) -> None:
        if self._state == "writing":
            self._enter("paused")
        elif self._state == "paused":
            self._enter("writing")

    def action_cut(self) -> None:
        if self._state in ("writing", "paused") and self._rows and time.monotonic() >= self._takes_keys:
            self._cut = True

    def action_what_if(self) -> None:
        if self._choice is not None and self._state == "open":
            self.app.show_what_if(self._choice, self._choice.candidates[self._candidates.marked])
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).say("ask once they are complete")

    @work
    async def action_branches(self) -> None:
        if self._asking or self._playthrough is None or self._state == "deciding" or self._wish:
            return
        self._asking = True
        try:
            branches = await asyncio.to_thread(self.app.store.branches, self._path.story_id)
            target = await self.app.push_screen_wait(TreeScreen(self._path, branches))
        except FateError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        finally:
            self._asking = False
        if target is not None and target != (self._path.tip_id or OPENING):
            self._step(lambda game: game.stand(None if target == OPENING else target), "")

    def action_undo(self) -> None:
        self._step(Playthrough.undo, "this is where the story begins")

    def action_redo(self) -> None:
        self._step(Playthrough.redo, "nothing to say again")

    @work(group="decide")
    async def _step(self, step: Callable[[Playthrough], bool], impossible: str) -> None:
        """Move back or forth between decisions; until that is done, no key answers the candidates."""
        if self._playthrough is None or self._state == "deciding" or self._wish:
            return
        before: State = self._state
        self._enter("deciding")
        try:
            moved = await asyncio.to_thread(step, self._playthrough)
        except FateError as error:
            self.app.tell_not_kept(error)
            moved = None
        if moved:
            self._go_on()
        elif self._leaving:
            self.app.pop_screen()
        else:
            self._enter("open" if self._choice else before)
            if moved is False:
                self.query_one(Bar).say(impossible)

    def action_move(self, by: int) -> None:
        self._candidates.mark(self._candidates.marked + by)

    def action_parameters(self) -> None:
        self._candidates.parameters = not self._candidates.parameters

    def action_scroll_story(self, by: int) -> None:
        story = self.query_one(StoryView)
        story.scroll_relative(y=by * max(1, story.size.height - 1))

    def action_scroll_card(self, by: int) -> None:
        self._candidates.scroll_card(by)

    def action_why(self, which: int) -> None:
        if self._playthrough is not None and self._state != "deciding" and not self._wish:
            self.query_one(Why).answer(self._playthrough, which)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "why" or self.app.config.reasons

    def action_copy_story(self) -> None:
        self.app.copy(f"the story “{self._path.title}”", self._path.text)

    def action_copy_marked(self) -> None:
        if self._rows:
            marked = self._candidates.marked
            self.app.copy(f"candidate {marked + 1}", self._rows[marked].text.strip())

    def action_leave(self) -> None:
        """Leave, but not before an answer that was given is kept."""
        if self._wish or self._state == "deciding":
            self._leaving = True
        else:
            self.app.pop_screen()

    # --- writing it down --------------------------------------------------------------------------

    def _give(self, kind: DecisionKind, position: int = 0, text: str = "") -> bool:
        """Answer the candidates on the screen; False while they take no keys."""
        now = time.monotonic()
        if not self._rows or now < self._takes_keys:
            return False
        answer = Answer(kind, position, text, round((now - self._takes_keys) * 1000))
        if self._state == "open":
            self._answer(answer)
        elif self._state in ("writing", "paused") and not self._wish:
            self._wish = answer  # the engine ends the candidates where they are, see on_offered
        else:
            return False
        return True

    def _answer(self, answer: Answer) -> None:
        assert self._choice is not None
        self._enter("deciding")
        self._write_down(self._choice, answer)

    @work(group="decide")
    async def _write_down(self, choice: Choice, answer: Answer) -> None:
        assert self._playthrough is not None
        try:
            await asyncio.to_thread(self._playthrough.answer, choice, answer)
        except FateError as error:
            self.app.tell_not_kept(error)
            self._wish, self._leaving = None, False
            self._keep_draft(answer.text)
            self._enter("open")
        else:
            if answer.kind == "written":
                self._draft = ""
            self._go_on()
