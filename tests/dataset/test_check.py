import sqlite3

import pytest

from fate.dataset.check import check
from fate.store.tensors import pack_inputs, pack_outputs
from tests.dataset.playing import OPENING, play

SPELLS = {"t" * 64: lambda before, ids: "".join(map(chr, ids))}


def change(store, statement, *values):
    with sqlite3.connect(store.file) as db:
        assert db.execute(statement, values).rowcount == 1


def test_a_sound_database_has_no_problems(store):
    play(store, "1?2r?3te?uwp1")
    assert list(check(store, SPELLS)) == []


CHOICE = "WHERE id = (SELECT id FROM choice WHERE step = 1)"
CANDIDATE = "WHERE id = (SELECT id FROM candidate WHERE position = 1 LIMIT 1)"
DECISION = "WHERE id = (SELECT id FROM decision WHERE kind = 'chosen' LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "values", "sentence"),
    [
        (f"UPDATE choice SET input_tensors = ? {CHOICE}", [b"nonsense"], "input_tensors that do not hold"),
        (f"UPDATE choice SET input_tensors = ? {CHOICE}", [pack_inputs([72, 105])], "not what its input_ids spell"),
        (f"UPDATE choice SET step = 7 {CHOICE}", [], "not one step after"),
        (f"UPDATE candidate SET output_tensors = ? {CANDIDATE}", [b"\x00" * 40], "output_tensors that do not hold"),
        (f"UPDATE candidate SET output_tensors = ? {CANDIDATE}", [pack_outputs([1, 2], uniforms=[0.5])], "as many"),
        (f"UPDATE candidate SET text = 'forged' {CANDIDATE}", [], "not what its kept output_ids spell"),
        (f"UPDATE candidate SET kept = 999 {CANDIDATE}", [], "999 tokens kept of"),
        (f"UPDATE candidate SET kept = NULL {CANDIDATE}", [], "has no kept"),
        (f"UPDATE candidate SET kept = 'many' {CANDIDATE}", [], "has a wrong kept"),
        (
            f"UPDATE candidate SET output_tensors = ? {CANDIDATE}",
            [pack_outputs([2**40], uniforms=[0.5], logprobs=[-1], warped_logprobs=[-1])],
            "kept of 1",
        ),
        (f"UPDATE choice SET input_tensors = ? {CHOICE}", [pack_inputs([2**40])], "not what its input_ids spell"),
        (f"UPDATE choice SET input_tensors = ? {CHOICE}", [pack_inputs([-1])], "input_tensors that do not hold"),
        (f"UPDATE choice SET created_at = 'noon' {CHOICE}", [], "created_at that is no time, 'noon'"),
        (f"DELETE FROM choice {CHOICE}", [], "refers to a row of choice that is not there"),
        ("DELETE FROM story", [], "story None has a wrong id"),
        ("DELETE FROM model", [], "model None has a wrong id"),
        (f"UPDATE candidate SET temperature = -1 {CANDIDATE}", [], "temperature must be above 0, not -1.0"),
        (f"UPDATE candidate SET finish_reason = 'bored' {CANDIDATE}", [], "unknown finish_reason, bored"),
        (f"UPDATE candidate SET position = 0 {CANDIDATE}", [], "not three in places 0 to 2"),
        (f"UPDATE decision SET kind = 'none_good' {DECISION}", [], "is none_good and its candidate is"),
        (f"UPDATE decision SET kind = 'liked' {DECISION}", [], "unknown kind, liked"),
        ("UPDATE reason SET word = 'whim'", [], "is chosen and its reason is whim"),
        ("UPDATE reason SET decision_id = 'nobody'", [], "reason row 1 refers to a row of decision that is not there"),
        (
            f"UPDATE decision SET candidate_id = (SELECT c.id FROM candidate c JOIN choice h ON h.id = c.choice_id "
            f"WHERE h.step = 2 LIMIT 1) {DECISION}",
            [],
            "takes a candidate of another choice",
        ),
        (f"UPDATE decision SET candidate_id = 'nobody' {DECISION}", [], "refers to a row of candidate that is not"),
        ("UPDATE candidate SET draft_id = NULL WHERE origin = 'edited'", [], "is edited and its draft is None"),
    ],
)
def test_each_row_that_is_not_as_it_must_be_is_named(store, statement, values, sentence):
    play(store, "1?2e3")
    change(store, statement, *values)
    problems = list(check(store, SPELLS))
    assert any(sentence in problem for problem in problems), problems


def test_a_reader_who_stands_in_another_story_is_found(store):
    first, second = play(store, "1"), play(store, "1", opening="Another.")
    tip = store.path(first).tip_id
    change(store, "UPDATE story SET tip_id = ? WHERE id = ?", tip, second)
    assert f"story {second} stands at candidate {tip} of another story." in list(check(store))


def test_ids_are_not_spelled_without_their_tokenizer(store):
    play(store, "1", opening=OPENING)
    change(store, f"UPDATE candidate SET text = 'forged' {CANDIDATE}")
    assert list(check(store)) == []
