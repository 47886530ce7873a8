"""One story being played: the place where policy, engine and store meet."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from fate.core.choice import (
    EXPLAINED,
    UNJUDGED,
    ByHand,
    Candidate,
    Choice,
    Continuation,
    Decision,
    DecisionKind,
    Reason,
)
from fate.core.errors import FateError, StoppedError
from fate.core.sampling import PolicyName, SamplerSettings, SettingsRanges
from fate.core.story import Path, continued
from fate.core.text import harmless
from fate.policy import Contest, LearnedPolicy, UniformPolicy

if TYPE_CHECKING:  # they are handed in; the engine alone would bring torch with it
    from fate.engine import Batch, Engine, Generation
    from fate.policy import Draw, Policy
    from fate.store import Store

CANDIDATES = 3
_SEEDS = 2**63  # what fits a column of SQLite
_AGAIN = 5  # times at most that a candidate is written again which says what another one says


def policy_named(name: PolicyName, ranges: SettingsRanges, store: Store, engine: Engine) -> Policy:
    """A policy; ``learned`` learns what all readers of the store preferred of the engine's model so far."""
    if name == "uniform":
        return UniformPolicy(ranges)
    return LearnedPolicy(ranges, lambda: contests(store, engine.info.weights_sha256))


def contests(store: Store, weights_sha256: str) -> Iterator[Contest]:
    """What was chosen in play among three candidates of a model, by anybody, as a policy learns from it."""
    for _, rows in groupby(store.contests(weights_sha256), itemgetter(0)):
        candidates = sorted(rows, key=itemgetter(2))  # by place
        won = [bool(row[1]) for row in candidates]
        if len(won) == CANDIDATES and any(won):
            settings = tuple((int(k), t, typical_p, damp) for *_, t, k, typical_p, damp in candidates)
            yield Contest(int(candidates[0][3]), settings, won.index(True))


class Answer(NamedTuple):
    """What a reader says of the candidates on the screen."""

    kind: DecisionKind
    position: int  # of the candidate that is chosen, or edited
    text: str  # by hand
    milliseconds: int  # from the moment the candidates took keys


@dataclass(frozen=True, slots=True)
class Offer:
    """Candidates as far as they are written, in the order of their places on the screen.

    There are no ``rows`` before it is known which of several texts each of them will be. ``choice`` is there once they
    are complete and on disk.
    """

    choice_id: str
    rows: tuple[Continuation, ...]
    choice: Choice | None = None


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is decided before candidates are written: with the model, it says what they will be."""

    prompt_ids: tuple[int, ...]
    draws: tuple[Draw, ...]
    seeds: tuple[int, ...]
    slots: tuple[int, ...]  # which candidate of the engine stands at which place on the screen
    stem: int | None  # the tokens of the prompt that the model need not read again where it read the last one

    @property
    def settings(self) -> tuple[SamplerSettings, ...]:
        return tuple(draw.settings for draw in self.draws)

    @property
    def several(self) -> bool:
        """Whether candidates are the best of several texts. What is read must not turn into another text then."""
        return any(settings.best_of > 1 for settings in self.settings)

    def with_other_seeds(self, rows: Container[int]) -> _Plan:
        seeds = enumerate(self.seeds)
        return replace(self, seeds=tuple(_seed(Random(str(seed))) if row in rows else seed for row, seed in seeds))


class _Ahead(NamedTuple):
    """What was written, or begun, ahead of a choice."""

    plan: _Plan
    generation: Generation
    batch: Batch


def shuffled_slots(rng: Random) -> list[int]:
    """Which row of the batch stands at which place on the screen, so that no slot is always read first."""
    return rng.sample(range(CANDIDATES), CANDIDATES)


def _seed(rng: Random) -> int:
    return rng.randrange(_SEEDS)


def _twins(rows: Sequence[Continuation]) -> set[int]:
    """The rows that say word for word what another one says which was surer of it.

    Not those that cannot say anything else.
    """
    twins, said = set(), []
    for i in sorted(range(len(rows)), key=lambda i: -sum(rows[i].warped_logprobs)):
        words = rows[i].text.split()
        if words in said and any(rows[i].warped_logprobs):
            twins.add(i)
        said.append(words)
    return twins


class Playthrough:
    """Offers candidates where a story stands, and writes down what the reader says of them.

    Args:
        story_id: a story of ``store``.
        annotator: the name that decisions are kept under.
        shown: whether anybody sees the candidates.
        rng: where settings and seeds come from; by default it is seeded by the system. What it yields for a
            choice depends on the candidate before it alone, not on what was written ahead or in which order.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine,
        policy: Policy,
        story_id: str,
        *,
        annotator: str = "reader",
        shown: bool = True,
        rng: Random | None = None,
    ) -> None:
        self.store = store
        self.engine = engine
        self.policy = policy
        self.annotator = annotator
        self.shown = shown
        self.path = store.path(story_id)
        self.revealed: set[str] = set()  # choices whose parameters the reader may see
        self.unexplained: str | None = None  # the decision that was made last, while nobody has said why
        self._equipment = engine, policy  # of the next new candidates
        self._back: list[tuple[Choice, str | None]] = []  # steps back: a choice to offer again, and where from
        self._keeping = threading.Lock()  # a choice; it is revealed before that or after it
        self._key = (rng or Random()).getrandbits(64)
        self._offered: Counter[int | str] = Counter()  # how often candidates were offered after the same text
        self._ahead: dict[str, _Ahead] = {}  # by the candidate that it would follow
        self._begun = 0  # how often the engine had begun before that

    def equip(
        self, *, engine: Engine | None = None, policy: Policy | None = None, annotator: str | None = None
    ) -> None:
        """Go on with others: the annotator at once, engine and policy from the next new candidates on."""
        before = self._equipment
        self._equipment = engine or before[0], policy or before[1]
        self.annotator = annotator or self.annotator

    def offer(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Offer]:
        """The candidates where the story stands: those that wait for an answer, or new ones.

        Yields after every token. A candidate that says word for word what another one says is written again from
        another seed. The last offer has its ``choice``, which is then on disk. Where ``stop`` says so, candidates end
        where they are, and are kept like that; a caller that drops the iterator keeps nothing.
        """
        path, back = self.path, self._back
        if waiting := back[-1][0] if back else self.store.open_choice(path.story_id):
            if self.shown and not all(c.shown for c in waiting.candidates):
                self.store.show(waiting.id)
                waiting = self.store.choice(waiting.id)
            yield Offer(waiting.id, tuple(c.written for c in waiting.candidates), waiting)
            return
        if self._equipment != (self.engine, self.policy):
            self.engine, self.policy = self._equipment
            self._ahead = {}  # which others wrote
        choice_id = uuid4().hex
        plan, generation = self._begin(path)
        while not generation.done:
            if stop():
                generation.cancel()  # where they were shown to be
            else:
                generation.step()
            known = generation.done or not plan.several
            yield Offer(choice_id, tuple(generation.rows[slot] for slot in plan.slots) if known else ())
        rows = generation.rows
        for _ in range(_AGAIN):
            twins = _twins(rows)
            if not twins or stop():
                break
            plan = plan.with_other_seeds(twins)
            again = self._generate(plan)  # all rows, because a replay writes them together
            while not all(again.rows[twin].finish_reason for twin in twins):
                again.step()
                if stop():
                    if plan.several:
                        break  # with what was shown
                    again.cancel()
                if not plan.several or all(again.rows[twin].finish_reason for twin in twins):
                    rows = [again.rows[slot] if slot in twins else row for slot, row in enumerate(rows)]
                yield Offer(choice_id, tuple(rows[slot] for slot in plan.slots))
        with self._keeping:
            choice = Choice(
                id=choice_id,
                story_id=path.story_id,
                parent_id=path.tip_id,
                step=len(path.passages),
                prompt=self.engine.story(plan.prompt_ids),
                prompt_ids=plan.prompt_ids,
                cached_tokens=generation.cached_tokens,
                model=self.engine.info,
                candidates=tuple(
                    Candidate(
                        uuid4().hex,
                        slot,
                        place,
                        self.shown,
                        self.policy.name,
                        plan.draws[slot].log_density,
                        rows[slot],
                    )
                    for place, slot in enumerate(plan.slots)
                ),
                revealed=choice_id in self.revealed,
            )
            self.store.add_choice(choice)
        yield Offer(choice_id, tuple(c.written for c in choice.candidates), choice)

    def look_ahead(
        self, choice: Choice, stop: Callable[[], bool], pointed_at: Callable[[], int | None] = lambda: None
    ) -> None:
        """Write what would be offered after each candidate of a choice, until it is written or ``stop`` says so.

        It is written after all of them at once or, where the model takes one prompt only, after the likeliest first:
        that is the one whose place the reader has ``pointed_at`` when its turn comes, or whose place was chosen most
        often so far. The next ``offer`` takes it up where the story goes on from that candidate; the rest is forgotten,
        and none of it is kept before it is offered. Does nothing where the story is about to lose its beginning, for a
        choice of another model, or with a model that reads every prompt from its beginning.
        """
        prompts = {c.id: choice.prompt_ids + c.written.kept_ids for c in choice.candidates}
        plans = {c.id: self._plan(c.written.seed, prompts[c.id], choice) for c in choice.candidates}
        of_another = choice.model.id != self.engine.info.id
        moved = any(plans[of].prompt_ids != ids for of, ids in prompts.items())
        if of_another or moved or not self.engine.keeps or stop():
            return
        if self._begun != self.engine.begun or not self._ahead.keys() <= prompts.keys():
            self._ahead, self._begun = {}, self.engine.begun
        written = {of for of, each in self._ahead.items() if each.generation.done and each.generation.goes_on}
        left = [c for c in choice.candidates if c.id not in written]
        chosen = None if self.engine.several else self.store.chosen_at()
        with suppress(StoppedError):
            while left and not stop():
                now, left = left, []
                if chosen is not None:
                    here = pointed_at()
                    now.sort(key=lambda c: (c.written.finish_reason == "eos", c.position != here, -chosen[c.position]))
                    now, left = now[:1], now[1:]
                begun = self._ahead.get(now[0].id)
                batch = begun.batch if begun and begun.generation.goes_on else self._begin_ahead(now, plans, stop)
                while not (batch.done or stop()):
                    batch.step()

    def _begin_ahead(
        self, candidates: Sequence[Candidate], plans: Mapping[str, _Plan], stop: Callable[[], bool]
    ) -> Batch:
        each = [plans[c.id] for c in candidates]
        batch = self.engine.generate_each(
            [plan.prompt_ids for plan in each],
            [plan.settings for plan in each],
            [plan.seeds for plan in each],
            stem=each[0].stem,
            stop=stop,
        )
        for c, plan, generation in zip(candidates, each, batch.generations, strict=True):
            self._ahead[c.id] = _Ahead(plan, generation, batch)
        return batch

    def reveal(self, choice_id: str) -> None:
        """Note, before it happens, that the reader sees how a choice is sampled; what they say of it is not blind."""
        with self._keeping:
            if choice_id not in self.revealed:
                self.store.reveal(choice_id)
                self.revealed.add(choice_id)

    def reveal_tip(self) -> None:
        """Note, before it happens, that the reader sees how the newest passage was drawn; see ``reveal``."""
        if self.path.tip_id and self.path.written_with:
            self.reveal(self.store.choice_of(self.path.tip_id).id)

    def answer(self, choice: Choice, answer: Answer) -> None:
        """Keep an answer of whatever kind."""
        candidate, milliseconds = choice.candidates[answer.position], answer.milliseconds
        match answer.kind:
            case "chosen":
                self.choose(choice, candidate, milliseconds)
            case "edited":
                self.edit(choice, candidate, answer.text, milliseconds)
            case "written":
                self.write(choice, answer.text, milliseconds)
            case "tie":
                self.tie(choice, milliseconds)
            case "none_good":
                self.reroll(choice, milliseconds)
            case "undone" | "auto":
                raise ValueError(f"{answer.kind} is no answer")

    def choose(self, choice: Choice, candidate: Candidate, milliseconds: int) -> None:
        """Take a candidate into the story."""
        self._decide(choice, "chosen", milliseconds, candidate.id)

    def reroll(self, choice: Choice, milliseconds: int) -> None:
        """Keep the candidates as "none good"; the next offer is a new one."""
        self._decide(choice, "none_good", milliseconds)

    def tie(self, choice: Choice, milliseconds: int) -> None:
        """Keep the candidates as equally good; the next offer is a new one."""
        self._decide(choice, "tie", milliseconds)

    def edit(self, choice: Choice, draft: Candidate, text: str, milliseconds: int) -> None:
        """Take a candidate in the reader's own words; one that was not changed is chosen.

        The white space before the draft stays: it joins the passage to the story. Raises ValueError where the text is
        empty.
        """
        text, original = text.strip(), draft.written.text
        if not text:
            raise ValueError("text must not be empty")
        if text in (original.strip(), harmless(original).strip()):
            self.choose(choice, draft, milliseconds)
        else:
            before = original[: len(original) - len(original.lstrip())]
            self._decide(choice, "edited", milliseconds, by_hand=ByHand(uuid4().hex, before + text, draft.id))

    def write(self, choice: Choice, text: str, milliseconds: int) -> None:
        """Go on with a passage of the reader's own. Raises ValueError where it is empty."""
        by_hand = ByHand(uuid4().hex, continued(self.path.text, text))
        self._decide(choice, "written", milliseconds, by_hand=by_hand)

    def go_on(self, choice: Choice, candidate: Candidate) -> None:
        """Take a candidate into the story that no reader chose."""
        self._decide(choice, "auto", 0, candidate.id)

    def explain(self, decision_id: str, reason: Reason) -> None:
        """Say why a decision was made; see ``unexplained``."""
        self.store.explain(decision_id, reason)

    def undo(self) -> bool:
        """Withdraw the decision that led here; its choice is offered again. False at the opening.

        Where none did, because the reader stepped here over the tree, nothing is withdrawn: it is a step back, and the
        choice is offered again all the same. An answer to it takes the place of the one before until that is undone.
        """
        choice = self.store.last_decided(self.path.story_id)
        if choice is None:
            return False
        said = self.store.said(choice)
        taken = None if choice.parent_id == self.path.tip_id else self.path.tip_id
        led_here = bool(said) and said[-1].kind != "undone" and said[-1].candidate_id == taken
        if not led_here or self.store.stepped_here(self.path.story_id):
            self._step_back(choice)
        elif len(said) > 1 and said[-2].kind != "undone" and said[-2].annotator == self.annotator:
            self.store.decide(choice, said[-2], again=True)
            self._step_back(choice)
        else:
            self._decide(choice, "undone", 0)
        return True

    def stand(self, candidate_id: str | None) -> bool:
        """Step to any text of the story, or to its opening, and go on from there; that is always possible."""
        self.store.stand(self.path.story_id, candidate_id)
        self._moved(unexplained=None)
        return True

    def redo(self) -> bool:
        """Say again what the last undo withdrew, or step forth again where it stepped back.

        False where there is neither, or another annotator had said it.
        """
        if self._back:
            *rest, (_, tip_id) = self._back
            self.stand(tip_id)
            self._back = rest
            return True
        choice = self.store.open_choice(self.path.story_id)
        said = self.store.said(choice) if choice else []
        if choice is None or len(said) < 2 or said[-2].kind == "undone" or said[-2].annotator != self.annotator:
            return False
        self.store.decide(choice, said[-2], again=True)
        self._moved(unexplained=None)
        return True

    def _step_back(self, choice: Choice) -> None:
        back = [*self._back, (choice, self.path.tip_id)]
        self.stand(choice.parent_id)
        self._back = back

    def _moved(self, unexplained: str | None) -> None:
        self.unexplained, self._back = unexplained, []
        self.path = self.store.path(self.path.story_id)

    def _decide(
        self,
        choice: Choice,
        kind: DecisionKind,
        milliseconds: int,
        candidate_id: str | None = None,
        by_hand: ByHand | None = None,
    ) -> None:
        taken = by_hand.id if by_hand else candidate_id
        blind = kind not in UNJUDGED  # unless the choice was revealed, which the store knows
        decision_id = self.store.decide(choice, Decision(kind, taken, milliseconds, self.annotator, blind), by_hand)
        self._moved(unexplained=decision_id if kind in EXPLAINED else None)

    def _begin(self, path: Path) -> tuple[_Plan, Generation]:
        """The candidates that follow a path: those that were written ahead, or new ones."""
        before = self.store.choice_of(path.tip_id) if path.tip_id else None
        tip = next((c for c in before.candidates if c.id == path.tip_id), None) if before else None
        origin = tip.written.seed if tip else path.text
        ahead = self._ahead.get(tip.id) if tip and self._begun == self.engine.begun else None
        self._ahead = {}
        if ahead and ahead.generation.goes_on:
            plan, generation = ahead.plan, ahead.generation
            generation.take()
        else:
            plan = self._plan(origin, self._ids(path, before, tip), before)
            generation = self._generate(plan)
        self._offered[origin] += 1
        return plan, generation

    def _generate(self, plan: _Plan) -> Generation:
        return self.engine.generate(plan.prompt_ids, plan.settings, plan.seeds, plan.stem)

    def _plan(self, origin: int | str, ids: tuple[int, ...], before: Choice | None) -> _Plan:
        """What is to be offered after a text, which is known by the seed of its last candidate, or by itself."""
        rng = Random(f"{self._key} {self._offered[origin]} {origin}")
        draws = self.policy.draw(rng, CANDIDATES, before.step + 1 if before else 0)
        room = max(draw.settings.max_new_tokens for draw in draws)
        if room > self.engine.context // 2:
            raise FateError(
                f"The model reads and writes {self.engine.context} tokens at most, which leaves no room for a story "
                f"beside max_new_tokens = {room}; lower that to {self.engine.context // 2} at most."
            )
        prompt_ids = self.engine.window(ids, room)
        goes_on = before is not None and prompt_ids[: len(before.prompt_ids)] == before.prompt_ids
        return _Plan(
            prompt_ids=prompt_ids,
            draws=draws,
            seeds=tuple(_seed(rng) for _ in draws),
            slots=tuple(shuffled_slots(rng)),
            stem=len(before.prompt_ids) - 1 if before and goes_on else None,
        )

    def _ids(self, path: Path, before: Choice | None, tip: Candidate | None) -> tuple[int, ...]:
        """The story as tokens.

        Chosen tokens are taken over as they were generated, because other tokens can spell the same
        text. After a text by hand, or one that was written with another tokenizer or under another
        template, the story is encoded anew.
        """
        if before and tip and before.model.tokenizer_sha256 == self.engine.info.tokenizer_sha256:
            return before.prompt_ids + tip.written.kept_ids
        return self.engine.encode(path.text)
