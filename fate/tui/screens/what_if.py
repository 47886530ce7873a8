"""What a candidate would have been: the same random numbers under other settings, side by side."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.worker import get_current_worker

from fate.core.choice import Candidate, Choice, Continuation
from fate.core.sampling import SamplerSettings
from fate.core.text import as_shown
from fate.replay import matching, what_if
from fate.tui.messages import REPAINT, OfferFailed, Written
from fate.tui.widgets.bar import Bar
from fate.tui.widgets.dials import Dials
from fate.tui.widgets.key_bar import KeyBar
from fate.tui.widgets.prose import Prose

if TYPE_CHECKING:
    from fate.engine import Engine
    from fate.tui.app import FateApp


class WhatIfScreen(Screen[None]):
    """A candidate as it was, and as it would have been."""

    app: FateApp

    CSS_PATH = "what_if.tcss"
    BINDINGS = [
        Binding("left", "select(-1)", "Setting", key_display="← →", id="what-if.left", tooltip="The setting before"),
        Binding("right", "select(1)", "Setting", show=False, id="what-if.right", tooltip="The next setting"),
        Binding("up", "change(1)", "Change", key_display="↑ ↓", id="what-if.more", tooltip="More of it"),
        Binding("down", "change(-1)", "Change", show=False, id="what-if.less", tooltip="Less of it"),
        Binding("escape,q,i", "app.pop_screen", "Back", id="what-if.back", tooltip="Back to where you came from"),
        Binding("question_mark", "app.keys", "Keys", id="what-if.keys", tooltip="Show what every key does"),
        Binding("j", "scroll(1)", "Scroll", key_display="j k", id="what-if.down", tooltip="Both texts, a line down"),
        Binding("k", "scroll(-1)", "Scroll", show=False, id="what-if.up", tooltip="Both texts, a line up"),
        Binding("pagedown", "page(1)", "Page", show=False, id="what-if.page-down", tooltip="Both texts, a page down"),
        Binding("pageup", "page(-1)", "Page", show=False, id="what-if.page-up", tooltip="Both texts, a page up"),
        Binding("0", "reset", "As it was", id="what-if.reset", tooltip="All settings as they were"),
    ]

    @staticmethod
    def obstacle(engine: Engine | None, choice: Choice, candidate: Candidate) -> str:
        """Why a candidate cannot be written again by a model; nothing if it can."""
        if engine is None or choice.model.weights_sha256 != engine.info.weights_sha256:
            return f"{choice.model.name} wrote this; load that model in the settings to ask."
        if choice.model.id != engine.info.id:  # every text would part, and not by what is asked
            ran = f"{choice.model.precision} on {choice.model.device}, with {choice.model.threads} threads"
            return f"The model ran otherwise when it wrote this ({ran}); load it so to ask."
        if len(choice.prompt_ids) + candidate.written.settings.max_new_tokens > engine.context:
            return "This was written after more than the model may read now; raise context."
        return ""

    def __init__(self, choice: Choice, candidate: Candidate) -> None:
        super().__init__()
        self._choice = choice
        self._candidate = candidate
        self._was = candidate.written
        self._round = 0  # counts the changes; a text of an earlier one comes too late

    def compose(self) -> ComposeResult:
        yield Bar("What if", "")
        yield Dials(self._was.settings)
        with Container(id="texts"):
            for name, title in (("was", "as it was"), ("would-be", "as it would be")):
                with VerticalScroll(id=name, can_focus=False) as box:
                    box.border_title = title
                    yield Prose()
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#was Prose", Prose).update(as_shown(self._was.text.strip()))
        self._begin()

    def action_select(self, by: int) -> None:
        self.query_one(Dials).select(by)

    def action_change(self, by: int) -> None:
        if self.query_one(Dials).turn(by):
            self._begin()

    def action_reset(self) -> None:
        self.query_one(Dials).reset()
        self._begin()

    def action_scroll(self, by: int) -> None:
        """Move both texts to the same line."""
        boxes = self.query(VerticalScroll)
        line = max(box.scroll_target_y for box in boxes) + by
        for box in boxes:
            box.scroll_to(y=line, animate=False)

    def action_page(self, by: int) -> None:
        self.action_scroll(by * max(1, self.query(VerticalScroll).first().size.height - 1))

    def _begin(self) -> None:
        self._round += 1
        self.query_one("#would-be Prose", Prose).update("")
        self.query_one(Bar).say("writing …")
        self._write(self.query_one(Dials).settings, self._round)

    @work(thread=True, exclusive=True)
    def _write(self, settings: SamplerSettings, round_: int) -> None:
        worker, engine, in_use = get_current_worker(), self.app.engine, self.app.engine_in_use
        assert engine is not None
        while not in_use.acquire(timeout=REPAINT):
            if worker.is_cancelled:
                return
        try:
            if worker.is_cancelled:
                return
            painted = 0.0
            for row in what_if(engine, self._choice, self._candidate, settings):
                if worker.is_cancelled:
                    return
                if row.finish_reason or time.monotonic() - painted >= REPAINT:
                    painted = time.monotonic()
                    self.post_message(Written(round_, row))
        except Exception as error:  # a model can fail in any way
            self.post_message(OfferFailed(round_, f"It could not be written: {error!r}."))
        finally:
            in_use.release()  # a screen that was left meanwhile has no app any more

    def on_offer_failed(self, message: OfferFailed) -> None:
        if message.round == self._round:
            self.query_one(Bar).say("stopped")
            self.notify(message.sentence, severity="error", markup=False)

    def on_written(self, message: Written) -> None:
        if message.round != self._round:
            return
        row, was = message.row, self._was.text.lstrip()
        text = row.text.removesuffix("\ufffd").lstrip()
        shorter = min(len(text), len(was))
        same = next((n for n in range(shorter) if text[n] != was[n]), shorter)
        # What parted stands out.
        content = Content.assemble(as_shown(text[:same]), (as_shown(text[same:]), "bold"))
        self.query_one("#would-be Prose", Prose).update(content)
        if row.finish_reason:
            self.query_one(Bar).say(self._parted(row))

    def _parted(self, row: Continuation) -> str:
        same = matching(self._was, row)
        if same < min(len(row.output_ids), len(self._was.output_ids)):
            return f"parted at token {same + 1}"
        whole = len(row.output_ids) == len(self._was.output_ids)
        return "the same, token for token" if whole else "the same as far as it was written"
