"""A story that is being played on a screen: candidates come, an answer is kept, and the next ones come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from textual import work
from textual.app import ComposeResult
from textual.screen import Screen

from fate.config import Config
from fate.core.choice import REASONS, Choice, DecisionKind
from fate.core.errors import FateError
from fate.core.story import Path
from fate.playthrough import Answer, Playthrough
from fate.power import on_battery
from fate.tui.ghostwriter import Ghostwriter
from fate.tui.memory import Draft
from fate.tui.messages import Offered, OfferFailed
from fate.tui.turn import Turn
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.candidates import Candidates
from fate.tui.widgets.key_bar import KeyBar
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import Why

if TYPE_CHECKING:
    from fate.engine import Engine
    from fate.tui.app import FateApp

# loading: no model yet. writing: candidates stream in. paused: they would. open: they wait for an answer.
# deciding: an answer is being written down. ended: the story has its end.
State = Literal["loading", "writing", "paused", "open", "deciding", "ended", "failed"]


class _Step(NamedTuple):
    """A move between decisions, and what is said where it cannot be made."""

    take: Callable[[Playthrough], bool]
    impossible: str


class Game(Screen[None]):
    """The story so far over its candidates; every answer is on disk before the screen moves on."""

    app: FateApp

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._playthrough: Playthrough | None = None
        self._ghostwriter = Ghostwriter(self)
        self._state: State = "loading"
        self._turn = Turn()
        self._asking = False  # another screen is about to come, or there
        self._steps: deque[_Step] = deque()  # back or forth, to be taken one after the other
        self._next: Answer | None = None  # words by hand that came before the turn that they answer
        self._leaving = False  # as soon as an answer is kept
        self._stepped_from: str | None = None  # a text that is marked where it is offered again
        self._past_the_end: set[str | None] = set()  # the endings after which the reader wanted to go on

    def compose(self) -> ComposeResult:
        yield Bar(self._path.title)
        yield StoryView()
        yield Why()
        yield Candidates()
        yield KeyBar()

    def on_mount(self) -> None:
        if self._path.ended and self.app.waits(self._path.story_id):
            self._past_the_end.add(self._path.tip_id)
        self._show_page()
        self.set_class(self._at_the_end, "-ended")
        self.watch(self.app, "config", self._follow)
        self.watch(self.app, "doing", self._say_doing)
        self.watch(self.app, "engine", self._begin)

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

    @property
    def _at_the_end(self) -> bool:
        return self._path.ended and self._path.tip_id not in self._past_the_end

    def _say_doing(self, doing: str) -> None:
        if self._state == "loading":
            self.query_one(Bar).say(f"{doing} …" if self._next is None else f"{doing}, then your words …")

    def _follow(self, before: Config, config: Config) -> None:
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

    # --- from candidates to an answer -------------------------------------------------------------

    def _go_on(self) -> None:
        """Show where the story stands, and offer what may follow."""
        assert self._playthrough is not None
        if self._leaving:
            self._give_up_words()
            self.app.pop_screen()
            return
        self.workers.cancel_group(self, "offer")
        self._turn = Turn(self._turn.number + 1)
        self._turn.wish, self._next = self._next, None
        self._path = self._playthrough.path
        self.refresh_bindings()  # at the end some keys have no meaning
        self._show_page()
        self.query_one(Why).ask(self._playthrough, [self.app.key(f"writing.why-{word}") for word in REASONS])
        self._candidates.clear()
        self._candidates.parameters = not self.app.config.blind
        self._tell_how_it_was_drawn(self.query_one(StoryView), self._playthrough, self._path)
        if self._at_the_end:
            self._give_up_words()
            self._enter("ended")
            return
        self._candidates.mark(0)
        self._enter("writing")
        self._ghostwriter.write(self._playthrough, self._turn)

    def _show_page(self) -> None:
        at_the_end = ""
        if self._at_the_end:
            on, back, away = (self.app.key(f"writing.{name}") for name in ("reroll", "undo", "leave"))
            at_the_end = f"{on} writes on · {back} goes back · {away} leaves"
        self.query_one(StoryView).show(self._path, at_the_end)

    @work(group="told", exclusive=True)
    async def _tell_how_it_was_drawn(self, page: StoryView, playthrough: Playthrough, path: Path) -> None:
        if path.written_with and page.tells:
            with suppress(FateError):  # then it stays untold
                await asyncio.to_thread(playthrough.reveal_tip)
                if self._path is path:
                    page.tell(path.written_with)

    def _enter(self, state: State) -> None:
        self._state = state
        choice = f"choice {len(self._path.passages) + 1}"
        said: dict[State, str] = {
            "writing": f"{choice} · " + ("your words are next …" if self._turn.wish else "writing …"),
            "paused": f"{choice} · paused, {self.app.key('writing.pause')} goes on",
            "open": f"{choice} · which one?",
            "deciding": f"{choice} · keeping it …",
            "ended": "the end",
            "failed": f"stopped · {self.app.key('writing.reroll')} tries again",
        }
        self.query_one(Bar).say(said[state])
        self.set_class(state == "ended", "-ended")

    def _while_they_are_read(self) -> None:
        """Have written what may follow each candidate, so that it is there when one is chosen."""
        choice = self._turn.choice

        def is_read() -> bool:  # is_current would be true behind another screen that shows this one through
            return self._turn.choice is choice and self.is_open and self.app.screen is self

        if self._playthrough and choice and self.is_open and self.app.config.look_ahead and not on_battery():
            candidates = self._candidates
            self._ghostwriter.write_ahead(self._playthrough, choice, is_read, lambda: candidates.pointed_at)

    on_screen_resume = _while_they_are_read  # whatever stood over this screen may have wanted the engine

    def on_offered(self, message: Offered) -> None:
        turn = self._turn
        if message.round != turn.number:
            return
        turn.show(message.offer)
        assert self._playthrough is not None
        self._candidates.show(self._playthrough, message.offer.choice_id, turn.rows)
        if turn.choice and self._state != "deciding":
            for candidate in turn.choice.candidates:
                if candidate.id == self._stepped_from:
                    self._candidates.mark(candidate.position)
            self._stepped_from = None
            self._enter("open")
            if turn.wish:
                self._answer(turn.wish)
            else:
                self._while_they_are_read()

    def on_offer_failed(self, message: OfferFailed) -> None:
        if message.round == self._turn.number:
            self._leaving = False
            self._enter("failed")
            self._give_up_words()
            self.notify(message.sentence, severity="error", timeout=60, markup=False)

    # --- from an answer to the next candidates ----------------------------------------------------

    def _give(self, kind: DecisionKind, position: int = 0, text: str = "") -> bool:
        """Answer the candidates on the screen, or with words by hand those to come; False if that cannot be now."""
        turn = self._turn
        if turn.wish or self._next or not (turn.takes_keys or text):
            return False
        answer = turn.answer(kind, position, text)
        if self._state == "open":
            self._answer(answer)
        elif self._state in ("writing", "paused"):
            turn.wish = answer  # the engine ends the candidates where they are, see on_offered
            self._enter(self._state)
        elif self._state in ("loading", "deciding") and kind == "written":
            self._next = answer
            self._say_doing(self.app.doing)
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
            self._leaving = False
            self._enter("open")
            self._turn.wish = answer
            self._give_up_words()
            self._while_they_are_read()
        else:
            self._draft(answer.kind, answer.position).taken(answer.text)
            self._go_on()

    def _step(self, step: Callable[[Playthrough], bool], impossible: str) -> None:
        """Move back or forth between decisions; until that is done, no key answers the candidates."""
        if self._playthrough is None or self._turn.wish or self._next:
            return
        if self._state != "deciding":
            before = self._state
            self._enter("deciding")
            self._steps.append(_Step(step, impossible))
            self._take_steps(self._playthrough, before)
        elif self._steps:
            self._steps.append(_Step(step, impossible))

    @work(group="decide")
    async def _take_steps(self, playthrough: Playthrough, before: State) -> None:
        moved, refused = False, ""
        while self._steps:
            step, came_from = self._steps[0], playthrough.path.tip_id
            try:
                possible = await asyncio.to_thread(step.take, playthrough)
            except FateError as error:
                self.app.tell_not_kept(error)
                self._steps.clear()
                break
            refused = "" if possible else step.impossible
            if possible:
                moved, self._stepped_from = True, came_from
            self._steps.popleft()
        if moved:
            self._go_on()
        elif self._leaving:
            self.app.pop_screen()
        else:
            self._enter("open" if self._turn.choice else before)
            words, self._next = self._next, None
            if words and not self._give(words.kind, words.position, words.text):
                self._tell_draft_kept(words.kind)
            self._while_they_are_read()
        if refused:
            self.query_one(Bar).mention(refused)

    def _draft(self, kind: DecisionKind, position: int) -> Draft:
        """Of words by hand: a candidate's, if they are an edit of it, or else the story's."""
        choice = self._turn.choice if kind == "edited" else None
        return Draft(choice.candidates[position].id if choice else self._path.story_id)

    def _give_up_words(self) -> None:
        """Forget what was to be answered; words by hand stay a draft."""
        for answer in (self._turn.wish, self._next):
            if answer and answer.text:
                self._tell_draft_kept(answer.kind)
        self._turn.wish = self._next = None

    def _tell_draft_kept(self, kind: DecisionKind) -> None:
        key = self.app.key("writing.edit" if kind == "edited" else "writing.write")
        self.notify(f"Your words are not in the story; {key} brings them back.", severity="warning")
