import sqlite3
from dataclasses import replace
from datetime import datetime
from random import Random

import pytest
from safetensors.numpy import load

from fate.core.choice import Candidate, Choice, Decision
from fate.core.sampling import SettingsRanges
from fate.store import Store, StoreError
from tests.fakes import FakeEngine

OPENING = "The old man looked at the sea."


def a_choice(story_id, name="a", parent=None, step=0, prompt=OPENING):
    engine = FakeEngine()
    drawn = SettingsRanges().draw(Random(name), 3)
    generation = engine.generate(engine.encode(prompt), drawn, (1, 2, 2**63 - 1))
    while not generation.done:
        generation.step()
    return Choice(
        id=f"choice-{name}",
        story_id=story_id,
        parent_id=parent,
        step=step,
        prompt=prompt,
        prompt_ids=engine.encode(prompt),
        cached_tokens=3,
        model=engine.info,
        candidates=tuple(
            Candidate(f"{name}{slot}", slot, slot, True, "uniform", -1.5, row)
            for slot, row in enumerate(generation.rows)
        ),
    )


def decided(kind, candidate_id=None, annotator="reader"):
    return Decision(kind, candidate_id, 1200, annotator, True)


def test_a_choice_reads_back_as_it_was_written(store):
    choice = a_choice(store.new_story(OPENING))
    store.add_choice(choice)
    assert store.choice_of("a1") == choice
    assert list(store.choices()) == [choice]


def test_a_decision_reads_back_with_its_choice(store):
    choice = a_choice(store.new_story(OPENING))
    store.add_choice(choice)
    decision = decided("chosen", "a2", annotator="Ann")
    store.decide(choice, decision)
    assert store.choice_of("a0") == replace(choice, decisions=(decision,))


def test_the_input_tensors_are_safetensors_of_the_prompt(store, tmp_path):
    choice = a_choice(store.new_story(OPENING))
    store.add_choice(choice)
    with sqlite3.connect(tmp_path / "fate.db") as db:
        (data,) = db.execute("SELECT input_tensors FROM choice").fetchone()
    tensors = load(data)
    assert tensors["input_ids"].shape == tensors["attention_mask"].shape == (1, len(choice.prompt_ids))
    assert str(tensors["input_ids"].dtype) == str(tensors["attention_mask"].dtype) == "int64"
    assert tuple(tensors["input_ids"][0]) == choice.prompt_ids
    assert (tensors["attention_mask"] == 1).all()


def test_choosing_moves_the_reader_past_the_candidate(store):
    story = store.new_story(OPENING)
    first = a_choice(story)
    store.add_choice(first)
    store.decide(first, decided("chosen", "a1"))
    second = a_choice(story, "b", "a1", 1)
    store.add_choice(second)
    store.decide(second, decided("chosen", "b0"))
    path = store.path(story)
    assert path.passages == (first.candidates[1].written.text, second.candidates[0].written.text)
    assert path.tip_id == "b0"
    assert not path.ended
    (listed,) = store.stories()
    assert (listed.steps, listed.words) == (2, len(store.path(listed.id).text.split()))


def test_a_story_that_its_model_ended_says_so(store):
    story = store.new_story(OPENING)
    choice = a_choice(story)
    ended = replace(choice.candidates[0], written=replace(choice.candidates[0].written, finish_reason="eos"))
    choice = replace(choice, candidates=(ended, *choice.candidates[1:]))
    store.add_choice(choice)
    store.decide(choice, decided("chosen", "a0"))
    assert store.path(story).ended


def test_an_unanswered_choice_waits(store):
    story = store.new_story(OPENING)
    assert store.open_choice(story) is None
    choice = a_choice(story)
    store.add_choice(choice)
    assert store.open_choice(story) == choice


def test_a_reroll_closes_the_choice_and_undo_opens_it_again(store):
    story = store.new_story(OPENING)
    first = a_choice(story)
    store.add_choice(first)
    store.decide(first, decided("none_good"))
    assert store.open_choice(story) is None
    second = a_choice(story, "b")
    store.add_choice(second)
    assert store.open_choice(story).id == second.id
    assert store.last_decided(story).id == first.id
    store.decide(first, decided("undone"))
    assert store.open_choice(story).id == first.id
    assert store.last_decided(story) is None


def test_undo_goes_back_choice_by_choice_and_deletes_nothing(store):
    story = store.new_story(OPENING)
    first, second = a_choice(story), a_choice(story, "b", "a1", 1)
    for choice, candidate in ((first, "a1"), (second, "b2")):
        store.add_choice(choice)
        store.decide(choice, decided("chosen", candidate))
    for choice in (second, first):
        undone = store.last_decided(story)
        assert undone.id == choice.id
        store.decide(undone, decided("undone"))
        assert store.open_choice(story).id == choice.id
        assert store.path(story).tip_id == choice.parent_id
    assert store.last_decided(story) is None
    assert len(list(store.choices())) == 2


def test_the_latest_decision_stands_and_the_others_stay(store, tmp_path):
    choice = a_choice(store.new_story(OPENING))
    store.add_choice(choice)
    for candidate in ("a0", "a1", "a0", "a2"):
        store.decide(choice, decided("chosen", candidate))
    assert store.choice_of("a0").decision.candidate_id == "a2"
    with sqlite3.connect(tmp_path / "fate.db") as db:
        assert db.execute("SELECT count(*) FROM decision").fetchone() == (4,)
        assert db.execute("SELECT chosen, rejected FROM pair ORDER BY rejected").fetchall() == sorted(
            [(choice.candidates[2].written.text, choice.candidates[i].written.text) for i in (0, 1)],
            key=lambda pair: pair[1],
        )


def test_what_stands_does_not_hang_on_the_clock(store, monkeypatch):
    choice = a_choice(store.new_story(OPENING))
    store.add_choice(choice)
    store.decide(choice, decided("chosen", "a0"))
    later = Store(store.file)  # another start of the program, after the clock was set back

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2020, 1, 1, tzinfo=tz)

    monkeypatch.setattr("fate.store.store.datetime", Yesterday)
    later.decide(choice, decided("undone"))
    assert later.choice_of("a0").decision.kind == "undone"
    assert later.open_choice(choice.story_id).id == choice.id
    later.close()


def test_stories_are_listed_last_played_first(store):
    old, new = store.new_story("An old story."), store.new_story("A new story.")
    assert [s.id for s in store.stories()] == [new, old]
    choice = a_choice(old)
    store.add_choice(choice)
    store.decide(choice, decided("chosen", "a0"))
    assert [(s.id, s.title, s.steps) for s in store.stories()] == [(old, "An old story.", 1), (new, "A new story.", 0)]


def test_a_choice_whose_candidate_cannot_be_kept_is_not_kept_at_all(store):
    story = store.new_story(OPENING)
    store.add_choice(a_choice(story))
    twin = replace(a_choice(story, "b"), candidates=a_choice(story).candidates)  # ids that exist already
    with pytest.raises(StoreError):
        store.add_choice(twin)
    assert [choice.id for choice in store.choices()] == ["choice-a"]


def test_a_decision_about_nothing_is_refused(store):
    choice = a_choice(store.new_story(OPENING))
    with pytest.raises(StoreError):
        store.decide(choice, decided("chosen", "a0"))
    assert store.path(choice.story_id).tip_id is None


def test_a_story_that_is_not_there_is_told(store):
    with pytest.raises(StoreError, match="There is no story nowhere"):
        store.path("nowhere")


def test_the_contract_of_columns(store, tmp_path):
    with sqlite3.connect(tmp_path / "fate.db") as db:
        columns = {
            table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            for table in ("story", "choice", "candidate", "decision", "model", "annotator")
        }
    assert {"text", "temperature", "top_k", "typical_p", "muse_top_k", "muse_damp", "muse_mode"} <= columns["candidate"]
    assert {"step", "story_id", "parent_id", "input_tensors"} <= columns["choice"]
    assert {"candidate_id", "kind"} <= columns["decision"]
    assert all("id" in names for names in columns.values())
