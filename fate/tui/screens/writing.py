"""The story being written: three candidates, one key."""

from __future__ import annotations

import asyncio

from textual import work

from fate.core.choice import DecisionKind
from fate.core.errors import FateError
from fate.core.text import harmless
from fate.playthrough import Playthrough
from fate.tui.game import Game
from fate.tui.screens.passage import PassageScreen
from fate.tui.screens.tree import TreeScreen
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.branch_tree import OPENING
from fate.tui.widgets.candidate_card import CandidateCard
from fate.tui.widgets.story_view import StoryView
from fate.tui.widgets.why import Why
from fate.tui.writing_keys import BINDINGS, OF_CANDIDATES


class WritingScreen(Game):
    """What the reader's keys do in a game."""

    CSS_PATH = "writing.tcss"
    BINDINGS = BINDINGS

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "why":
            return self.app.config.reasons
        return not self._at_the_end or action not in OF_CANDIDATES

    # --- answers ----------------------------------------------------------------------------------

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
            self._past_the_end.add(self._path.tip_id)
        if self._state in ("ended", "failed"):
            self._go_on()
        else:
            self._give("none_good")

    def action_tie(self) -> None:
        self._give("tie")

    def action_edit(self) -> None:
        if self._state == "open":
            marked = self._candidates.marked
            original = harmless(self._turn.rows[marked].text.strip())
            self._ask_for_words("edited", marked, original)
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).mention("edit once they are complete")

    def action_write(self) -> None:
        if self._turn.wish or self._next:
            self.query_one(Bar).mention("what you gave comes first")
        elif self._state not in ("ended", "failed"):
            self._ask_for_words("written")

    def _ask_for_words(self, kind: DecisionKind, position: int = 0, original: str = "") -> None:
        if self._asking:
            return
        turn, draft = self._turn, self._draft(kind, position)

        def give(words: str | None) -> None:
            self._asking = False
            gone = kind == "edited" and self._turn is not turn  # the candidate that was edited
            if (words is None or gone or not self._give(kind, position, words)) and draft.text:
                self._tell_draft_kept(kind)

        self._asking = True
        title = "In your own words" if kind == "edited" else "Your own passage"
        self.app.push_screen(PassageScreen(title, draft, original), give)

    def action_why(self, which: int) -> None:
        if self._playthrough is not None and self._state != "deciding" and not self._turn.wish:
            self.query_one(Why).answer(self._playthrough, which)

    # --- the story as a whole ---------------------------------------------------------------------

    def action_undo(self) -> None:
        self._step(Playthrough.undo, "this is where the story begins")

    def action_redo(self) -> None:
        self._step(Playthrough.redo, "nothing to redo")

    @work
    async def action_branches(self) -> None:
        if self._asking or self._playthrough is None or self._state == "deciding" or self._turn.wish:
            return
        self._asking = True
        try:
            branches = await asyncio.to_thread(self.app.store.branches, self._path.story_id)
            target = await self.app.push_screen_wait(TreeScreen(self._path, branches, lambda: self.is_at_rest))
        except FateError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        finally:
            self._asking = False
        if target is not None and target != (self._path.tip_id or OPENING):
            self._step(lambda game: game.stand(None if target == OPENING else target), "")

    def action_leave(self) -> None:
        """Leave, but not before an answer that was given is kept; words that wait for a model stay a draft."""
        if self._turn.wish or self._state == "deciding":
            self._leaving = True
        else:
            self._give_up_words()
            self.app.pop_screen()

    def action_save(self, suffix: str) -> None:
        self.app.save_story(self._path.story_id, suffix)

    def action_copy_story(self) -> None:
        self.app.copy(f"the story “{self._path.title}”", self._path.text)

    def action_scroll_story(self, by: int) -> None:
        self.query_one(StoryView).turn_pages(by)

    # --- the candidates ---------------------------------------------------------------------------

    def action_pause(self) -> None:
        if self._state in ("writing", "paused"):
            self._turn.paused = not self._turn.paused
            self._enter("paused" if self._turn.paused else "writing")

    def action_cut(self) -> None:
        if self._state in ("writing", "paused") and self._turn.takes_keys:
            self._turn.cut = True

    def action_move(self, by: int) -> None:
        self._candidates.move(by)

    def action_parameters(self) -> None:
        self._candidates.parameters = not self._candidates.parameters

    def action_scroll_card(self, by: int) -> None:
        self._candidates.scroll_card(by)

    def action_copy_marked(self) -> None:
        if self._turn.rows:
            marked = self._candidates.marked
            self.app.copy(f"candidate {marked + 1}", self._turn.rows[marked].text.strip())

    def action_what_if(self) -> None:
        if self._turn.choice and self._state == "open":
            self.app.show_what_if(self._turn.choice, self._turn.choice.candidates[self._candidates.marked])
        elif self._state in ("writing", "paused"):
            self.query_one(Bar).mention("ask once they are complete")
        elif self._state == "ended":
            self.query_one(Bar).mention(f"{self.app.key('writing.branches')}, and ask about any text there")
