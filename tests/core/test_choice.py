from dataclasses import replace

import pytest

from fate.core.choice import Candidate, Choice, Continuation, Decision, ModelInfo
from fate.core.sampling import SamplerSettings

MODEL = ModelInfo("m", "tiny", "Llama", "w", "t", "float32", "cpu", 2, "{}")


def candidate(slot):
    return Candidate(
        f"c{slot}", slot, slot, True, "uniform", 0.0, Continuation(SamplerSettings(), slot, f" text {slot}")
    )


CHOICE = Choice("ch", "s", None, 0, "Once", (1, 2), 0, MODEL, tuple(candidate(slot) for slot in range(3)))


def test_a_chosen_candidate_is_paired_with_each_that_was_passed_over():
    decided = replace(CHOICE, decision=Decision("chosen", "c1", 10, "reader", True))
    assert [(a.id, b.id) for a, b in decided.pairs()] == [("c1", "c0"), ("c1", "c2")]


def test_a_candidate_that_reads_like_the_chosen_one_was_not_passed_over():
    twin = replace(CHOICE.candidates[2], written=CHOICE.candidates[1].written)
    decision = Decision("chosen", "c1", 10, "reader", True)
    decided = replace(CHOICE, candidates=(*CHOICE.candidates[:2], twin), decision=decision)
    assert [(a.id, b.id) for a, b in decided.pairs()] == [("c1", "c0")]


@pytest.mark.parametrize("kind", ["none_good", "undone", None])
def test_without_a_chosen_candidate_there_are_no_pairs(kind):
    decision = Decision(kind, None, 10, "reader", True) if kind else None
    assert list(replace(CHOICE, decision=decision).pairs()) == []
