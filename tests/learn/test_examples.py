"""What is learnt from is what readers preferred, token for token."""

from copy import copy

import pytest

from fate.core.choice import Decision
from fate.core.story import place_of
from fate.engine.prompting import Preamble
from fate.learn.examples import PROMPT, TEXT, Example, examples
from fate.learn.measuring import LearnError, split
from fate.store import tables
from fate.store.tensors import pack_outputs
from tests.playing import offered, playing


@pytest.fixture
def engine(engines):
    return engines["llama"]


def test_the_text_that_was_taken_comes_first_in_the_tokens_that_were_written(store, engine):
    play = playing(store, engine)
    choice = offered(play)
    play.choose(choice, choice.candidates[1], 300)
    (example,) = examples(store, engine)
    assert (example.story_id, example.prompt) == (choice.story_id, choice.prompt_ids)
    taken, *others = (choice.candidates[place].written for place in (1, 0, 2))
    assert example.texts[0] == taken.kept_ids
    assert sorted(example.texts[1:]) == sorted(other.kept_ids for other in others)


def test_an_ending_is_learnt_with_the_token_that_ended_the_story(store, engine):
    play = playing(store, engine)
    choice = offered(play)
    row = choice.candidates[0].written
    with store._writing() as session:  # a tiny model hardly ever ends a story
        (end,) = engine.eos_ids
        stored = session.get_one(tables.Candidate, choice.candidates[0].id)
        ids = (*row.kept_ids[:3], end)
        floats = dict.fromkeys(("uniforms", "logprobs", "warped_logprobs"), (0.5,) * 4)
        stored.output_tensors, stored.kept, stored.finish_reason = pack_outputs(ids, **floats), 3, "eos"
        session.add(stored)
    play.choose(choice, choice.candidates[0], 300)
    (example,) = examples(store, engine)
    assert example.texts[0] == ids


def test_an_edit_is_preferred_to_its_draft_alone_and_a_text_by_hand_to_nothing(store, engine):
    play = playing(store, engine)
    choice = offered(play)
    play.edit(choice, choice.candidates[2], " Nobody was there.", 300)
    play.write(offered(play), " It rained.", 300)
    (example,) = examples(store, engine)
    edit, draft = example.texts
    (by_hand,) = store.choice(choice.id).by_hand
    assert engine.decode((*example.prompt, *edit)) == "The old man looked at the sea." + by_hand.text
    assert draft == choice.candidates[2].written.kept_ids


def test_nothing_follows_from_ties_and_what_was_undone_or_taken_by_nobody(store, engine):
    play = playing(store, engine)
    play.tie(offered(play), 300)
    play.reroll(offered(play), 300)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    play.undo()
    choice = offered(play)
    play.go_on(choice, choice.candidates[0])
    assert examples(store, engine) == []


def test_only_those_whose_decisions_count_are_learnt_from(store, engine):
    play = playing(store, engine)
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    store.decide(choice, Decision("chosen", choice.candidates[1].id, 300, "Ada", blind=True, review=True))
    assert len(examples(store, engine)) == 2
    (hers,) = examples(store, engine, ["Ada"])
    assert hers.texts[0] == choice.candidates[1].written.kept_ids


def test_what_a_model_with_another_tokenizer_wrote_is_spelled_in_the_tokens_of_this_one(store, engines, engine):
    play = playing(store, engines["bloom"])
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    (example,) = examples(store, engine)
    assert example.prompt == engine.encode(choice.prompt)
    assert len(example.texts) == 3
    read = engine.decode((*example.prompt, *example.texts[0]))
    assert len(read) > len(choice.prompt) + 10
    assert (choice.prompt + choice.candidates[0].written.text).startswith(read)


def test_a_long_prompt_loses_its_beginning_and_a_long_text_its_end(store, engine):
    play = playing(store, engine, story=store.new_story("The sea was grey and it rained. " * 30))
    choice = offered(play)
    assert len(choice.prompt_ids) > PROMPT
    play.edit(choice, choice.candidates[0], " He waited for the boat and the boat did not come." * 12, 300)
    (example,) = examples(store, engine)
    assert example.prompt == (*engine.preamble.kept, *choice.prompt_ids[-PROMPT:])
    assert len(example.texts[0]) == TEXT


def test_texts_that_differ_only_where_they_are_cut_are_no_example(store, engine):
    play = playing(store, engine)
    choice = offered(play)
    long = " He waited for the boat and the boat did not come." * 12
    play.edit(choice, choice.candidates[0], long, 300)
    with store._writing() as session:
        session.get_one(tables.Candidate, choice.candidates[0].id).text = long + " It rained."
        session.get_one(tables.Candidate, choice.candidates[0].id).origin = "edited"
    assert examples(store, engine) == []


def test_a_long_template_stands_before_the_story_whole(store, engine):
    asked = copy(engine)
    asked.preamble = Preamble(start=tuple(range(130)), kept=tuple(range(130)))
    play = playing(store, engine, story=store.new_story("The sea was grey and it rained. " * 30))
    choice = offered(play)
    play.choose(choice, choice.candidates[0], 300)
    (example,) = examples(store, asked)
    assert example.prompt == (*range(130), *choice.prompt_ids[-PROMPT:])


def made(stories, each):
    return [Example(f"story {n}", (1,), ((n,), (n + 1,))) for n in range(stories) for _ in range(each)]


def test_a_fifth_of_the_stories_measures_and_is_not_learnt_from():
    train, held_out = split(made(10, 6))
    learnt, measured = ({e.story_id for e in some} for some in (train, held_out))
    assert (len(learnt), len(measured), len(train) + len(held_out)) == (8, 2, 60)
    assert learnt.isdisjoint(measured)
    assert min(map(place_of, measured)) > max(map(place_of, learnt))  # as `fate export --split` parts them


@pytest.mark.parametrize(("stories", "each"), [(4, 30), (39, 1), (0, 0)])
def test_too_few_choices_are_refused_in_a_sentence_that_counts_them(stories, each):
    with pytest.raises(LearnError, match=f"^{stories * each} decisions in {stories} stories .* play on"):
        split(made(stories, each))
