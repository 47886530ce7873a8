from dataclasses import replace
from random import Random
from statistics import mean

import pytest

from fate.core.errors import FateError
from fate.core.sampling import SamplerSettings
from fate.playthrough import contests, policy_named
from fate.policy import UniformPolicy
from fate.store import StoreError
from tests.fakes import TEXTS, FakeEngine
from tests.playing import BEST_OF_TWO, OPENING, POLICY, offered, playing


def test_candidates_stream_and_are_on_disk_before_the_last_offer(store):
    play = playing(store)
    offers = list(play.offer())
    assert len(offers) > 3
    assert len({offer.choice_id for offer in offers}) == 1
    assert [offer.choice for offer in offers[:-1]] == [None] * (len(offers) - 1)
    assert offers[-1].choice == store.open_choice(play.path.story_id)
    assert [c.written.text for c in offers[-1].choice.candidates] == list(TEXTS)


def test_of_several_texts_none_is_shown_before_it_is_known_which_is_offered(store, engines):
    *growing, complete, kept = playing(store, engines["llama"], policy=BEST_OF_TWO).offer()
    assert growing
    assert not any(offer.rows for offer in growing)
    assert complete.rows == kept.rows
    assert all(row.finish_reason for row in kept.rows)


def test_candidates_have_different_settings_with_their_density_and_seed(store):
    choice = offered(playing(store))
    settings = [c.written.settings for c in choice.candidates]
    assert len(set(settings)) == 3
    assert [c.log_density for c in choice.candidates] == [POLICY.ranges.log_density(s) for s in settings]
    assert len({c.written.seed for c in choice.candidates}) == 3
    assert {c.policy for c in choice.candidates} == {"uniform"}


def test_what_was_learnt_is_what_readers_chose_of_that_model(store):
    play = playing(store)
    for _ in range(30):  # always the coolest
        choice = offered(play)
        play.choose(choice, min(choice.candidates, key=lambda c: c.written.settings.temperature), 300)
    assert isinstance(policy_named("uniform", POLICY.ranges, store, play.engine), UniformPolicy)
    learned = policy_named("learned", POLICY.ranges, store, play.engine)
    again = playing(store, policy=learned)
    for step in range(3):
        choice = offered(again)
        assert {c.policy for c in choice.candidates} == {"learned"}
        for c in choice.candidates:
            assert c.log_density == learned.log_density(c.written.settings, step)
            assert c.log_density != learned.log_density(c.written.settings, 3 - step)
        again.choose(choice, choice.candidates[0], 300)

    def warmth(policy):
        draws = [draw for seed in range(100) for draw in policy.draw(Random(seed), 3, 5)]
        return mean(draw.settings.temperature for draw in draws)

    other = FakeEngine()
    other.info = replace(other.info, weights_sha256="x" * 64)
    knows_nothing = policy_named("learned", POLICY.ranges, store, other)
    assert warmth(learned) < warmth(knows_nothing) == warmth(POLICY)


def test_a_contest_is_a_choice_with_its_step_its_settings_by_place_and_the_chosen_place(store):
    play = playing(store)
    expected = []
    for place in (2, 0):
        choice = offered(play)
        settings = [c.written.settings for c in choice.candidates]
        expected.append(
            (choice.step, tuple((s.top_k, s.temperature, s.typical_p, s.muse_damp) for s in settings), place)
        )
        play.choose(choice, choice.candidates[place], 300)
    play.tie(offered(play), 300)
    assert list(contests(store, play.engine.info.weights_sha256)) == expected
    assert list(contests(store, "x" * 64)) == []


def test_nothing_is_learnt_from_deleted_stories_or_from_what_was_taken_back(store):
    play = playing(store)
    play.choose(choice := offered(play), choice.candidates[0], 300)
    play.undo()
    gone = playing(store)
    gone.choose(choice := offered(gone), choice.candidates[0], 300)
    store.put(gone.path.story_id, "deleted")
    assert list(store.contests()) == []
    play.choose(choice := offered(play), choice.candidates[1], 300)
    assert [row[1:4] for row in store.contests()] == [(0, 0, 0), (1, 1, 0), (0, 2, 0)]


def test_the_same_seed_plays_the_same(store):
    one, two, three = (offered(playing(store, seed=seed)) for seed in (5, 5, 6))
    assert [c.written for c in one.candidates] == [c.written for c in two.candidates]
    assert [c.written for c in one.candidates] != [c.written for c in three.candidates]


def test_a_model_with_no_room_for_a_story_beside_what_it_is_to_write_says_so(store):
    with pytest.raises(FateError, match=r"96 tokens at most, .* beside max_new_tokens = 56; lower that to 48 at most"):
        offered(playing(store, FakeEngine(context=96)))


def test_dropped_offers_are_not_kept(store):
    play = playing(store)
    for _ in play.offer():
        break
    assert store.open_choice(play.path.story_id) is None


def test_stopped_candidates_are_kept_as_they_are(store):
    play = playing(store)
    asked = iter([False, False, True])
    choice = offered(play, stop=lambda: next(asked))
    assert [c.written.finish_reason for c in choice.candidates] == ["cancelled"] * 3
    assert all(text.startswith(c.written.text) for text, c in zip(TEXTS, choice.candidates, strict=True))
    assert store.open_choice(play.path.story_id) == choice


def test_a_choice_continues_the_story_with_the_tokens_that_were_generated(store):
    play = playing(store)
    choice = offered(play)
    play.choose(choice, choice.candidates[2], 900)
    assert play.path.text == OPENING + TEXTS[2]
    following = offered(play)
    assert following.prompt_ids == choice.prompt_ids + choice.candidates[2].written.kept_ids
    assert following.prompt == play.path.text
    assert (following.step, following.parent_id) == (1, choice.candidates[2].id)


def test_a_story_of_another_tokenizer_is_encoded_anew(store):
    play = playing(store)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 900)
    other = FakeEngine()
    other.info = type(other.info)("other", "other", "Fake", "v" * 64, "u" * 64, "float32", "cpu", 1, "{}")
    other.encode = lambda text: tuple(ord(c) + 1 for c in text)
    other.decode = lambda ids: "".join(chr(i - 1) for i in ids)
    again = playing(store, other, story=play.path.story_id)
    assert offered(again).prompt_ids == other.encode(again.path.text)


def test_a_story_longer_than_the_context_loses_its_beginning_only(store):
    room = SamplerSettings().max_new_tokens
    engine = FakeEngine(context=600 + room)
    play = playing(store, engine)
    for turn in range(30):
        choice = offered(play)
        assert len(choice.prompt_ids) <= 600
        assert play.path.text.endswith(choice.prompt)
        play.choose(choice, choice.candidates[turn % 3], 900)
    kept = sum(a[: len(b)] == b or b[: len(a)] == a for a, b in zip(engine.prompts, engine.prompts[1:], strict=False))
    assert kept >= 20  # the window stays where it is for several choices


def test_a_reroll_offers_others_and_undo_brings_the_first_back(store):
    play = playing(store, FakeEngine(texts=[" One {n}.", " Two {n}.", " Three {n}."]))
    first = offered(play)
    play.reroll(first, 400)
    second = offered(play)
    assert second.id != first.id
    assert second.candidates[0].written.text == " One 2."
    assert play.undo()
    assert offered(play).id == first.id
    assert not play.undo()


def test_a_waiting_choice_is_offered_again_after_a_restart(store):
    play = playing(store)
    choice = offered(play)
    engine = FakeEngine()
    again = playing(store, engine, story=play.path.story_id)
    assert offered(again) == choice
    assert engine.prompts == []


def test_an_edited_candidate_goes_on_in_the_readers_words(store):
    play = playing(store)
    choice = offered(play)
    draft = choice.candidates[1]
    play.edit(choice, draft, "  Nobody was there.  ".strip(), 900)
    assert play.path.passages == (" Nobody was there.",)
    kept = store.choice_of(play.path.tip_id)
    assert [c.written for c in kept.candidates] == [c.written for c in choice.candidates]
    (by_hand,) = kept.by_hand
    assert (by_hand.text, by_hand.draft_id) == (" Nobody was there.", draft.id)
    assert (kept.decision.kind, kept.decision.candidate_id) == ("edited", by_hand.id)
    assert offered(play).prompt == OPENING + " Nobody was there."


def test_an_edit_that_changes_nothing_is_a_choice(store):
    play = playing(store)
    choice = offered(play)
    play.edit(choice, choice.candidates[0], choice.candidates[0].written.text, 900)
    assert store.choice_of(play.path.tip_id).decision.kind == "chosen"
    assert store.choice_of(play.path.tip_id).by_hand == ()


def test_a_passage_of_the_readers_own_can_be_undone_and_another_chosen(store):
    play = playing(store)
    choice = offered(play)
    play.write(choice, "\n\nThe next day it rained.", 900)
    assert play.path.text == OPENING + "\n\nThe next day it rained."
    assert play.undo()
    assert play.path.passages == ()
    again = offered(play)
    assert again.id == choice.id
    assert len(again.by_hand) == 1
    play.choose(again, again.candidates[2], 300)
    assert play.path.passages == (TEXTS[2],)


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_text_by_hand_is_refused_and_nothing_is_decided(store, text):
    play = playing(store)
    choice = offered(play)
    with pytest.raises(ValueError, match="must not be empty"):
        play.write(choice, text, 900)
    assert store.open_choice(play.path.story_id) == choice


def test_a_tie_brings_other_candidates_and_can_be_undone(store):
    play = playing(store)
    choice = offered(play)
    play.tie(choice, 500)
    assert store.open_choice(play.path.story_id) is None
    other = offered(play)
    assert other.id != choice.id
    assert play.undo()
    assert store.open_choice(play.path.story_id).id == choice.id


@pytest.mark.shuffled
def test_places_on_the_screen_are_shuffled_and_recorded(store):
    orders = set()
    for seed in range(40):
        play = playing(store, seed=seed)
        offers = list(play.offer())
        choice = offers[-1].choice
        assert [c.position for c in choice.candidates] == [0, 1, 2]
        assert [c.written.text for c in choice.candidates] == [TEXTS[c.slot] for c in choice.candidates]
        for offer in offers:  # nothing changes its place while it streams
            for row, candidate in zip(offer.rows, choice.candidates, strict=True):
                assert candidate.written.text.startswith(row.text)
        assert choice == store.open_choice(play.path.story_id)
        orders.add(tuple(c.slot for c in choice.candidates))
    assert len(orders) == 6


def test_redo_says_again_what_undo_withdrew(store):
    play = playing(store)
    assert not play.redo()
    first = offered(play)
    play.edit(first, first.candidates[0], "Mine.", 700)
    second = offered(play)
    play.reroll(second, 300)
    before = play.path
    assert play.undo()
    assert play.undo()
    assert play.path.passages == ()
    assert play.redo()
    assert play.path.passages == (" Mine.",)
    assert play.redo()
    assert play.path == before
    assert not play.redo()
    assert store.choice(first.id).decision.milliseconds == 700


def test_after_another_answer_there_is_nothing_to_redo(store):
    play = playing(store)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    play.undo()
    play.choose(choice, choice.candidates[1], 300)
    assert not play.redo()


@pytest.mark.parametrize("complete", [True, False])
def test_a_choice_whose_parameters_were_seen_is_not_blind_after_a_restart(store, complete):
    play = playing(store)
    offers = play.offer()
    play.reveal((list(offers)[-1] if complete else next(offers)).choice_id)
    list(offers)
    again = playing(store, story=play.path.story_id)
    choice = offered(again)
    assert choice.revealed
    again.choose(choice, choice.candidates[0], 300)
    following = offered(again)
    again.choose(following, following.candidates[0], 300)
    assert [choice.decision.blind for choice in store.choices()] == [False, True]


def test_what_is_said_again_is_as_blind_as_it_was(store):
    play = playing(store)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    play.reveal_tip()  # as a page does
    play.undo()
    play.redo()
    assert store.choice(choice.id).decision.blind
    play.undo()
    play.choose(choice, choice.candidates[0], 300)
    assert not store.choice(choice.id).decision.blind


def test_a_step_back_offers_what_was_offered_there_and_withdraws_nothing(store):
    play = playing(store)
    first = offered(play)
    play.choose(first, first.candidates[0], 300)
    second = offered(play)
    play.reroll(second, 300)
    offered(play)
    play.stand(second.candidates[1].id)
    there = play.path
    assert play.undo()
    assert offered(play) == store.choice(second.id)
    assert play.undo()
    assert offered(play) == store.choice(first.id)
    assert not play.undo()
    assert [store.choice(c.id).decision.kind for c in (first, second)] == ["chosen", "none_good"]
    assert play.redo()
    assert offered(play).id == second.id
    assert play.redo()
    assert play.path == there
    assert not play.redo()


def test_undo_of_a_second_answer_restores_the_first(store):
    play = playing(store)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    play.stand(choice.candidates[1].id)
    play.undo()
    play.choose(offered(play), choice.candidates[2], 300)
    assert store.choice(choice.id).decision.candidate_id == choice.candidates[2].id
    play.undo()
    restored = store.choice(choice.id).decision
    assert (restored.candidate_id, restored.blind) == (choice.candidates[0].id, True)
    assert play.path.passages == ()
    assert offered(play).id == choice.id


def test_undo_leaves_alone_what_was_passed_over_before_the_reader_stepped_here(store):
    play = playing(store)
    first = offered(play)
    play.choose(first, first.candidates[0], 300)
    passed = offered(play)
    play.reroll(passed, 300)
    after = offered(play)
    play.choose(after, after.candidates[0], 300)
    play.stand(first.candidates[0].id)
    play.undo()
    assert offered(play).id == first.id
    assert [store.choice(c.id).decision.kind for c in (first, passed, after)] == ["chosen", "none_good", "chosen"]


def test_a_reason_is_kept_with_its_decision_and_said_again_with_it(store):
    play = playing(store)
    choice = offered(play)
    assert play.unexplained is None
    play.choose(choice, choice.candidates[0], 300)
    play.explain(play.unexplained, "surprise")
    assert store.choice(choice.id).decision.reason == "surprise"
    play.undo()
    assert store.choice(choice.id).decision.reason is None
    play.redo()
    assert store.choice(choice.id).decision.reason == "surprise"
    assert list(store.query("SELECT count(*), count(DISTINCT decision_id) FROM reason")) == [(2, 2)]


def test_a_reason_is_said_once_and_of_no_tie(store):
    play = playing(store)
    choice = offered(play)
    play.reroll(choice, 300)
    play.explain(play.unexplained, "plot")
    with pytest.raises(StoreError):
        play.explain(play.unexplained, "style")
    assert store.choice(choice.id).decision.reason == "plot"
    following = offered(play)
    play.tie(following, 300)
    assert play.unexplained is None


def test_another_engine_in_the_middle_of_an_offer_counts_from_the_next_one_on(store):
    play = playing(store)
    before = play.engine
    offers = play.offer()
    next(offers)
    another = FakeEngine()
    another.info = replace(before.info, id="another", name="another")
    play.equip(engine=another, annotator="Ann")
    first = list(offers)[-1].choice
    assert first.model == before.info
    play.look_ahead(first, stop=lambda: False)  # which the one before writes
    play.choose(first, first.candidates[0], 300)
    assert offered(play).model.name == "another"
    assert len(another.prompts) == 1
    assert store.choice(first.id).decision.annotator == "Ann"


class Stutterer(FakeEngine):
    """Writes the same in two rows the first ``times``, and in three different ones after that."""

    warped_logprob = -0.5

    def __init__(self, times):
        super().__init__()
        self.times, self.seeds = times, []

    def generate(self, prompt_ids, settings, seeds, stem=None):
        self.seeds.append(seeds)
        self.texts = (TEXTS[0], TEXTS[0] if len(self.seeds) <= self.times else TEXTS[1], TEXTS[2])
        generation = super().generate(prompt_ids, settings, seeds, stem)
        generation.cached_tokens = len(prompt_ids) - 1 if self.seeds[1:] else 0  # it has read that before
        return generation


@pytest.mark.shuffled
def test_a_candidate_that_says_what_another_one_says_is_written_again(store):
    engine = Stutterer(times=2)
    *streamed, last = playing(store, engine, seed=1).offer()
    rows = sorted(last.choice.candidates, key=lambda candidate: candidate.slot)
    assert rows != list(last.choice.candidates)
    assert last.choice.cached_tokens == 0
    assert tuple(row.written.text for row in rows) == TEXTS
    assert tuple(row.written.seed for row in rows) == engine.seeds[2]
    assert len({seeds[1] for seeds in engine.seeds}) == 3
    assert len({seeds[::2] for seeds in engine.seeds}) == 1  # of those that stay
    complete = [sum(row.finish_reason is not None for row in offer.rows) for offer in streamed]
    again = streamed[complete.index(3) + 1 :]
    for place, candidate in enumerate(last.choice.candidates):  # those that stay are whole meanwhile
        assert {offer.rows[place] == candidate.written for offer in again} == (
            {True} if candidate.slot != 1 else {False, True}
        )


def test_a_candidate_is_written_again_from_the_same_seed_when_the_same_is_played(store):
    one, two = (offered(playing(store, Stutterer(times=1))) for _ in range(2))
    assert [c.written for c in one.candidates] == [c.written for c in two.candidates]


def test_what_always_says_the_same_is_offered_after_some_tries(store):
    engine = Stutterer(times=99)
    choice = offered(playing(store, engine))
    assert sorted(c.written.text for c in choice.candidates) == sorted((TEXTS[0], TEXTS[0], TEXTS[2]))
    assert len(engine.seeds) == 1 + 5


def test_of_two_that_say_the_same_the_one_that_is_less_sure_of_it_is_written_again(store):
    class Sure(Stutterer):
        def generate(self, *given):
            generation = super().generate(*given)
            longer = generation._longer
            generation._longer = lambda row, text, reason: replace(
                longer(row, text, reason), warped_logprobs=(-0.1 if row.seed == self.seeds[0][1] else -0.5,)
            )
            return generation

    engine = Sure(times=1)
    offered(playing(store, engine))
    assert len({seeds[0] for seeds in engine.seeds}) == len(engine.seeds) > 1
    assert len({seeds[1:] for seeds in engine.seeds}) == 1


def test_whoever_stops_a_candidate_that_is_written_again_has_it_as_it_is_shown(store):
    engine, steps = Stutterer(times=1), iter(range(100))
    *_, shown, last = playing(store, engine).offer(stop=lambda: len(engine.seeds) > 1 and next(steps) > 2)
    assert last.rows == shown.rows
    rows = sorted(last.choice.candidates, key=lambda candidate: candidate.slot)
    assert [row.written.finish_reason for row in rows] == ["sentence", "cancelled", "sentence"]
    assert TEXTS[1].startswith(rows[1].written.text)
    assert tuple(row.written.seed for row in rows) == engine.seeds[1]


def test_whoever_stops_before_a_candidate_is_written_again_has_it_as_it_was(store):
    engine = Stutterer(times=1)
    whole = len(max(TEXTS, key=len).split())
    steps = iter(range(100))
    choice = offered(playing(store, engine), stop=lambda: next(steps) >= whole)
    assert sorted(c.written.text for c in choice.candidates) == sorted((TEXTS[0], TEXTS[0], TEXTS[2]))
    assert len(engine.seeds) == 1


def test_what_can_say_nothing_else_is_not_written_again(store):
    engine = FakeEngine([TEXTS[0]] * 3)
    assert len({c.written.text for c in offered(playing(store, engine)).candidates}) == 1
    assert len(engine.prompts) == 1


def test_candidates_that_were_cut_off_before_they_differ_stay_so(store):
    engine, asked = FakeEngine([" One way.", " One path.", " One road."]), iter([False])
    engine.warped_logprob = -0.5
    choice = offered(playing(store, engine), stop=lambda: next(asked, True))
    assert [c.written.text for c in choice.candidates] == [" One"] * 3
    assert len(engine.prompts) == 1
