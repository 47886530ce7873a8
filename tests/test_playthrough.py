from dataclasses import replace
from random import Random

import pytest

from fate.core.errors import FateError
from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import lean, load
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.replay import what_if
from fate.store import Store, StoreError
from tests.fakes import TEXTS, FakeEngine
from tests.products import only

OPENING = "The old man looked at the sea."
POLICY = UniformPolicy(SettingsRanges())
SHORT = UniformPolicy(SettingsRanges(fixed=SamplerSettings(min_new_tokens=4, max_new_tokens=16)))


def playing(store, engine=None, seed=0, story=None):
    story = story or store.new_story(OPENING)
    return Playthrough(store, engine or FakeEngine(), POLICY, story, rng=Random(seed))


def offered(playthrough, **options):
    return list(playthrough.offer(**options))[-1].choice


def test_candidates_stream_and_are_on_disk_before_the_last_offer(store):
    play = playing(store)
    offers = list(play.offer())
    assert len(offers) > 3
    assert len({offer.choice_id for offer in offers}) == 1
    assert [offer.choice for offer in offers[:-1]] == [None] * (len(offers) - 1)
    assert offers[-1].choice == store.open_choice(play.path.story_id)
    assert [c.written.text for c in offers[-1].choice.candidates] == list(TEXTS)


def test_candidates_have_different_settings_with_their_density_and_seed(store):
    choice = offered(playing(store))
    settings = [c.written.settings for c in choice.candidates]
    assert len(set(settings)) == 3
    assert [c.log_density for c in choice.candidates] == [POLICY.ranges.log_density(s) for s in settings]
    assert len({c.written.seed for c in choice.candidates}) == 3
    assert {c.policy for c in choice.candidates} == {"uniform"}


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
    play.equip(another, POLICY, "Ann")
    first = list(offers)[-1].choice
    assert first.model == before.info
    play.look_ahead(first, stop=lambda: False)  # which the one before writes
    play.choose(first, first.candidates[0], 300)
    assert offered(play).model.name == "another"
    assert len(another.prompts) == 1
    assert store.choice(first.id).decision.annotator == "Ann"


def ahead(playthrough, choice, asked=10**6):
    """Write ahead until that was asked so often whether to stop: for each layer of a reading, and for each token."""
    left = iter(range(asked))
    playthrough.look_ahead(choice, lambda: next(left, None) is None)


@pytest.fixture(params=["lean", "transformers"])
def engine(request, engines, transformers_engine):
    return engines["llama"] if request.param == "lean" else transformers_engine


@pytest.mark.parametrize("asked", [0, 7, 40, 10**6])
def test_what_is_offered_does_not_depend_on_how_much_was_written_ahead(tmp_path, engine, asked):
    def written(name, looking):
        store = Store(tmp_path / f"{name}.db")
        playthrough, rows = playing(store, engine), []
        engine.forget()
        for position in (0, 2, 1, 1):
            choice = offered(playthrough)
            rows.append([(c.slot, c.written.settings, c.written.seed, c.written.logprobs) for c in choice.candidates])
            if looking:
                ahead(playthrough, choice, asked)
            playthrough.choose(choice, choice.candidates[position], 5)
        store.close()
        return rows

    assert written("with", True) == written("without", False)


def test_what_was_written_ahead_is_there_at_once_and_only_what_is_offered_is_kept(store):
    engine = FakeEngine(several=True)
    playthrough = playing(store, engine)
    first = offered(playthrough)
    ahead(playthrough, first)
    assert [choice.id for choice in store.choices()] == [first.id]
    playthrough.choose(first, first.candidates[1], 5)
    written = len(engine.prompts)
    assert len(list(playthrough.offer())) == 1  # nothing streams: it is complete
    assert len(engine.prompts) == written
    assert len(list(store.choices())) == 2


def test_after_a_reroll_what_was_written_ahead_is_forgotten(store):
    engine = FakeEngine(several=True)
    playthrough = playing(store, engine)
    first = offered(playthrough)
    ahead(playthrough, first)
    playthrough.reroll(first, 5)
    second = offered(playthrough)
    assert second.parent_id == first.parent_id
    assert {c.written.seed for c in first.candidates}.isdisjoint(c.written.seed for c in second.candidates)


DEEDS = ("choose", "choose", "reroll", "tie", "write", "edit", "undo", "redo", "stand", "sibling", "restart", "what if")


def play_at_random(store, engine, seed, look):
    """A play whose deeds are those of its seed; after each offer ``look`` may write ahead. Returns what was offered."""
    rng, shown, rows = Random(seed), [], []
    story = store.new_story(OPENING + " He said, 'It will rain before night.' Nobody answered him.")
    engine.forget()
    playthrough = Playthrough(store, engine, SHORT, story, rng=Random(seed))
    for turn in range(10):
        choice = offered(playthrough)
        shown.append(choice)
        rows.append([(c.written.settings, c.written.output_ids, c.written.logprobs) for c in choice.candidates])
        candidate, earlier, deed = rng.choice(choice.candidates), rng.choice(shown), rng.choice(DEEDS)
        look(playthrough, choice)
        if deed == "what if":
            asked = earlier.candidates[0]
            assert list(what_if(engine, earlier, asked, asked.written.settings))
            if rng.random() < 0.5:  # the reader comes back to the story for long enough
                look(playthrough, choice)
        match deed:
            case "choose" | "what if":
                playthrough.choose(choice, candidate, 5)
            case "reroll":
                playthrough.reroll(choice, 5)
            case "tie":
                playthrough.tie(choice, 5)
            case "write":
                playthrough.write(choice, "The fox ran home and slept.", 5)
            case "edit":
                playthrough.edit(choice, candidate, candidate.written.text[:-3] + "so", 5)
            case "undo":
                playthrough.undo()
            case "redo":
                playthrough.undo()
                look(playthrough, offered(playthrough))
                playthrough.redo()
            case "stand":
                playthrough.stand(rng.choice(earlier.candidates).id)
            case "sibling" if choice.parent_id:
                playthrough.stand(rng.choice(store.choice_of(choice.parent_id).candidates).id)
            case "restart":
                engine.forget()
                playthrough = Playthrough(store, engine, SHORT, story, rng=Random(seed + turn))
    return rows


@pytest.fixture(params=["native", "without a compiler", "transformers"])
def ending_engine(request, tiny_folders, transformers_engine, monkeypatch):
    """An engine whose candidates often end the story, and that reads in many parts."""
    monkeypatch.setattr(lean, "_READ", 16)
    if request.param == "transformers":
        engine = transformers_engine
    else:
        only("native" if request.param == "native" else "fbgemm", monkeypatch)
        engine = load(str(tiny_folders["llama"]))
    monkeypatch.setattr(engine, "eos_ids", frozenset(range(0, 384, 40)))
    return engine


@pytest.mark.parametrize("seed", range(12))
def test_what_was_written_ahead_changes_nothing_whatever_the_reader_does(tmp_path, ending_engine, seed):
    def played(name, look):
        store = Store(tmp_path / f"{name}.db")
        rows = play_at_random(store, ending_engine, seed, look)
        store.close()
        return rows

    rng = Random(seed)
    expected = played("without", lambda playthrough, choice: None)
    assert played("all", ahead) == expected
    assert played("some", lambda playthrough, choice: ahead(playthrough, choice, rng.randrange(50))) == expected


def test_what_failed_while_it_was_written_ahead_is_written_as_if_nothing_had_happened(tmp_path, engine, monkeypatch):
    def played(name, failing):
        store = Store(tmp_path / f"{name}.db")
        playthrough, rows, advance = playing(store, engine), [], engine.decoder.advance
        engine.forget()
        for position in (0, 2, 1):
            choice = offered(playthrough)
            rows.append([(c.written.settings, c.written.logprobs) for c in choice.candidates])
            if failing:
                left = iter(range(6))

                def fails(*which, left=left):
                    if next(left, None) is None:
                        raise MemoryError
                    return advance(*which)

                monkeypatch.setattr(engine.decoder, "advance", fails)
                with pytest.raises(MemoryError):
                    ahead(playthrough, choice)
                monkeypatch.setattr(engine.decoder, "advance", advance)
            playthrough.choose(choice, choice.candidates[position], 5)
        store.close()
        return rows

    assert played("failing", True) == played("well", False)


def test_two_stories_on_one_engine_are_written_as_they_would_be_without_writing_ahead(tmp_path, engine):
    def played(name, looking):
        store, rows = Store(tmp_path / f"{name}.db"), []
        engine.forget()
        plays = [playing(store, engine, 1), playing(store, engine, 2)]
        for turn in range(5):
            choices = [offered(play) for play in plays]
            rows += [[(c.written.settings, c.written.logprobs) for c in choice.candidates] for choice in choices]
            if looking:
                for play, choice in zip(plays, choices, strict=True):
                    ahead(play, choice)
            for play, choice in zip(plays, choices, strict=True):
                play.choose(choice, choice.candidates[turn % 3], 5)
        store.close()
        return rows

    assert played("with", True) == played("without", False)


def test_what_a_finished_row_wrote_unseen_beside_longer_ones_is_not_taken_over(engines):
    engine = engines["llama"]
    prompt = engine.encode(OPENING)
    short, long = (replace(SamplerSettings(), min_new_tokens=n, max_new_tokens=n) for n in (5, 20))

    def cached(beside):
        engine.forget()
        first = engine.generate(prompt, [short] * 3, (1, 2, 3))
        while not first.done:
            first.step()
        texts = [prompt + row.kept_ids for row in first.rows]
        batch = engine.generate_each(
            texts[: 1 + 2 * beside],
            [[short] * 3, *([[long] * 3] * 2 * beside)],
            [(4, 5, 6), *([(7, 8, 9)] * 2 * beside)],
            stem=len(prompt) - 1,
            stop=lambda: False,
        )
        while not batch.done:
            batch.step()
        written = engine.decoder._tails.written[0]
        batch.generations[0].take()
        more = (*texts[0][:-1], *(written if beside else follows[0]))
        follows.append(written)
        return engine.generate(more, [short] * 3, (1, 2, 3), len(texts[0]) - 1).cached_tokens

    follows = []
    with_others = cached(True)
    follows[:] = follows[:1]
    assert len(follows[0]) > 10
    assert with_others == cached(False)


def test_a_choice_that_is_offered_again_is_written_on_from_ahead(store, engine):
    playthrough = playing(store, engine)
    first = offered(playthrough)
    playthrough.choose(first, first.candidates[0], 5)
    offered(playthrough)
    playthrough.undo()
    assert offered(playthrough).id == first.id
    ahead(playthrough, first)
    playthrough.choose(first, first.candidates[1], 5)
    assert len(list(playthrough.offer())) == 1


def test_what_is_written_ahead_goes_on_where_it_was_stopped(store, engine):
    playthrough = playing(store, engine)
    first = offered(playthrough)
    for _ in range(200):
        ahead(playthrough, first, 5)
    playthrough.choose(first, first.candidates[1], 5)
    assert len(list(playthrough.offer())) == 1


def test_nothing_is_written_ahead_by_a_model_that_reads_each_prompt_from_its_beginning(store, monkeypatch):
    monkeypatch.setattr(FakeEngine, "keeps", False)
    engine = FakeEngine()
    playthrough = playing(store, engine)
    ahead(playthrough, offered(playthrough))
    assert len(engine.prompts) == 1


def test_a_model_that_takes_one_prompt_writes_on_after_the_likeliest_first(store):
    engine = FakeEngine()
    playthrough = playing(store, engine)
    for position in (1, 1, 2):
        choice = offered(playthrough)
        playthrough.choose(choice, choice.candidates[position], 5)
    choice = offered(playthrough)

    def places():
        after = {choice.prompt_ids + c.written.kept_ids: c.position for c in choice.candidates}
        return [after[prompt] for prompt in engine.prompts]

    engine.prompts.clear()
    ahead(playthrough, choice, 2)
    assert places() == [1]  # chosen there most often
    playthrough.look_ahead(choice, lambda: False, pointed_at=lambda: 0)
    assert places() == [1, 0, 2]
    playthrough.choose(choice, choice.candidates[2], 5)
    written = len(engine.prompts)
    assert len(list(playthrough.offer())) == 1
    assert len(engine.prompts) == written
