"""The story being written: three candidates, one key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from textual import work
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Footer
from textual.worker import get_current_worker

from fate.config import Config
from fate.core.choice import Choice, DecisionKind
from fate.core.errors import FateError
from fate.core.story import Path
from fate.core.text import harmless
from fate.playthrough import Answer, Playthrough
from fate.power import on_battery
from fate.tui.messages import Offered, OfferFailed
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.tree import OPENING, TreeScreen
from fate.tui.turn import Turn
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.candidates import Candidates
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import Why
from fate.tui.writing_keys import BINDINGS

if TYPE_CHECKING:
    from fate.engine import Engine
    from fate.tui.app import FateApp

# loading: no model yet. writing: candidates stream in. paused: they would. open: they wait for an answer.
# deciding: an answer is being written down. ended: the story has its end.
State = Literal["loading", "writing", "paused", "open", "deciding", "ended", "failed"]


class WritingScreen(Screen[None]):
    """The story so far over its candidates; every answer is on disk before the screen moves on."""

    app: FateApp

    CSS_PATH = "writing.tcss"
    BINDINGS = BINDINGS

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._playthrough: Playthrough | None = None
        self._state: State = "loading"
        self._turn = Turn()
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

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is being written or about to be."""
        return self._state in ("open", "ended", "failed")

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
        self._turn = Turn(self._turn.number + 1)
        self._path = self._playthrough.path
        ended = self._path.ended and self._path.tip_id != self._past_the_end
        self.query_one(StoryView).show(self._path, ended=ended)
        self.query_one(Why).ask(self._playthrough)
        self._candidates.clear()
        if ended:
            self._enter("ended")
            return
        self._candidates.mark(0)
        self._enter("writing")
        self._write(self._playthrough, self._turn)

    @work(thread=True, group="offer")
    def _write(self, playthrough: Playthrough, turn: Turn) -> None:
        worker = get_current_worker()
        try:
            with self.app.engine_in_use:  # the turn before this one may still be noticing that it is over
                if not worker.is_cancelled:
                    for offer in turn.offers(playthrough, lambda: worker.is_cancelled):
                        self.post_message(Offered(turn.number, offer))
        except FateError as error:
            self.post_message(OfferFailed(turn.number, str(error)))
        except Exception as error:  # a model can fail in any way; the story stands and can be gone on with
            self.post_message(OfferFailed(turn.number, f"No candidates could be written: {error!r}."))

    def _while_they_are_read(self) -> None:
        """Write what may follow each candidate, so that it is there when one is chosen."""
        if self._playthrough and self._turn.choice and self.is_open and self.app.config.look_ahead and not on_battery():
            self._write_ahead(self._playthrough, self._turn.choice)

    on_screen_resume = _while_they_are_read  # whatever stood over this screen may have wanted the engine

    @work(thread=True, group="ahead", exclusive=True)
    def _write_ahead(self, playthrough: Playthrough, choice: Choice) -> None:
        worker = get_current_worker()

        def stop() -> bool:
            here = self.app.screen is self  # is_current is true behind another screen that shows this one through
            return worker.is_cancelled or self._turn.choice is not choice or not (self.is_open and here)

        try:
            with self.app.engine_in_use:
                if not stop():
                    playthrough.look_ahead(choice, stop)
        except Exception as error:  # nobody has asked for it yet; the next offer says it if it still is so
            self.log.warning(f"nothing could be written ahead: {error!r}")

    def on_offered(self, message: Offered) -> None:
        turn = self._turn
        if message.round != turn.number:
            return
        turn.show(message.offer)
        assert self._playthrough is not None
        self._candidates.show(self._playthrough, message.offer.choice_id, turn.rows)
        if turn.choice and self._state != "deciding":
            self._enter("open")
            if turn.wish:
                self._answer(turn.wish)
            else:
                self._while_they_are_read()

    def on_offer_failed(self, message: OfferFailed) -> None:
        if message.round == self._turn.number:
            if self._turn.wish:
                self._keep_draft(self._turn.wish.text)
            self._turn.wish, self._leaving = None, False
            self._enter("failed")
            self.notify(message.sentence, severity="error", timeout=60, markup=False)

    # --- what the reader does ---------------------------------------------------------------------

    def action_choose(self, position: int) -> None:
        rows = self._turn.rows
        if rows and (self._state == "open" or rows[position].text):
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
            text = harmless(self._turn.rows[self._candidates.marked].text.strip())
            self._ask_for_words("edited", PassageScreen("In your own words", text))
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).say("edit once they are complete")

    def action_write(self) -> None:
        if self._turn.rows and self._state in ("writing", "paused", "open") and not self._turn.wish:
            self._ask_for_words("written", PassageScreen("Your own passage", self._draft))

    @work
    async def _ask_for_words(self, kind: DecisionKind, screen: PassageScreen) -> None:
        if self._asking:
            return
        self._asking, turn, position = True, self._turn, self._candidates.marked
        try:
            words = await self.app.push_screen_wait(screen)
        finally:
            self._asking = False
        if words is None:
            self._keep_draft(screen.changed)
        elif not (self._turn is turn and self._give(kind, position, words)):
            self._keep_draft(words)

    def _keep_draft(self, words: str) -> None:
        """What was written by hand is not lost with the candidates that it was to answer."""
        if words:
            self._draft = words
            self.notify("Your words are not in the story; w brings them back.", severity="warning")

    def action_pause(self) -> None:
        if self._state in ("writing", "paused"):
            self._turn.paused = not self._turn.paused
            self._enter("paused" if self._turn.paused else "writing")

    def action_cut(self) -> None:
        if self._state in ("writing", "paused") and self._turn.takes_keys:
            self._turn.cut = True

    def action_what_if(self) -> None:
        if self._turn.choice and self._state == "open":
            self.app.show_what_if(self._turn.choice, self._turn.choice.candidates[self._candidates.marked])
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).say("ask once they are complete")
        elif self._state == "ended":
            self.query_one(Bar).say("b, and ask about any text there")

    @work
    async def action_branches(self) -> None:
        if self._asking or self._playthrough is None or self._state == "deciding" or self._turn.wish:
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
        if self._playthrough is None or self._state == "deciding" or self._turn.wish:
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
            self._enter("open" if self._turn.choice else before)
            if moved is False:
                self.query_one(Bar).say(impossible)

    def action_move(self, by: int) -> None:
        self._candidates.mark(self._candidates.marked + by)

    def action_parameters(self) -> None:
        self._candidates.parameters = not self._candidates.parameters

    def action_scroll_story(self, by: int) -> None:
        self.query_one(StoryView).turn_pages(by)

    def action_scroll_card(self, by: int) -> None:
        self._candidates.scroll_card(by)

    def action_why(self, which: int) -> None:
        if self._playthrough is not None and self._state != "deciding" and not self._turn.wish:
            self.query_one(Why).answer(self._playthrough, which)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "why" or self.app.config.reasons

    def action_copy_story(self) -> None:
        self.app.copy(f"the story “{self._path.title}”", self._path.text)

    def action_copy_marked(self) -> None:
        if self._turn.rows:
            marked = self._candidates.marked
            self.app.copy(f"candidate {marked + 1}", self._turn.rows[marked].text.strip())

    def action_leave(self) -> None:
        """Leave, but not before an answer that was given is kept."""
        if self._turn.wish or self._state == "deciding":
            self._leaving = True
        else:
            self.app.pop_screen()

    # --- writing it down --------------------------------------------------------------------------

    def _give(self, kind: DecisionKind, position: int = 0, text: str = "") -> bool:
        """Answer the candidates on the screen; False while they take no keys."""
        turn = self._turn
        if not turn.takes_keys:
            return False
        answer = turn.answer(kind, position, text)
        if self._state == "open":
            self._answer(answer)
        elif self._state in ("writing", "paused") and not turn.wish:
            turn.wish = answer  # the engine ends the candidates where they are, see on_offered
        else:
            return False
        return True

    def _answer(self, answer: Answer) -> None:
        assert self._turn.choice is not None
        self._enter("deciding")
        self._write_down(self._turn.choice, answer)

    @work(group="decide")
    async def _write_down(self, choice: Choice, answer: Answer) -> None:
        assert self._playthrough is not None
        try:
            await asyncio.to_thread(self._playthrough.answer, choice, answer)
        except FateError as error:
            self.app.tell_not_kept(error)
            self._turn.wish, self._leaving = None, False
            self._keep_draft(answer.text)
            self._enter("open")
        else:
            if answer.kind == "written":
                self._draft = ""
            self._go_on()
