"""Judged candidates are compared after their own prompts, and the storyteller comes to prefer the better ones."""

import gzip
import itertools
import json
import math
from bisect import bisect
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fate.engine import load
from fate.openings import openings
from fate.paths import storyteller

TOKENS = st.lists(st.integers(1, 9), max_size=12)
CANDIDATES = st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 4)), max_size=9)
GROUPS = st.dictionaries(TOKENS.map(tuple), CANDIDATES, min_size=1, max_size=12)


def judged(preferences, groups):
    return [preferences.Judged([0, *prompt], candidates) for prompt, candidates in groups]


def placed(preferences, piece):
    """What stands in each slot: the tokens of its prompt, and its own."""
    found = {}
    each = (piece.read, piece.predicted, piece.place, piece.group, piece.slot)
    for read, predicted, place, group, slot in (map(np.array, row) for row in zip(*each, strict=True)):
        for number in {*slot.tolist()} - {preferences.SLOTS}:
            own = np.flatnonzero(slot == number)
            head = np.flatnonzero((group == group[own[0]]) & (slot == preferences.SLOTS))
            assert max(head, default=-1) < own[0]
            assert place[np.append(head, own)].tolist() == [*range(len(head) + len(own))]
            assert read[own[1:]].tolist() == predicted[own[:-1]].tolist()
            assert number not in found
            found[number] = (*read[head].tolist(), int(read[own[0]])), tuple(predicted[own].tolist())
    return found


@given(groups=GROUPS, seed=st.integers(0, 5))
def test_every_candidate_stands_after_its_prompt_and_is_compared_with_all_others_of_it_by_their_marks(
    preferences, groups, seed
):
    groups = {prompt: {tuple(ids): mark for ids, mark in candidates} for prompt, candidates in groups.items()}
    height, context = 2, 120  # room for any of them
    marks = {((0, *prompt), ids): mark for prompt, candidates in groups.items() for ids, mark in candidates.items()}
    given_groups = [(prompt, [(list(ids), mark) for ids, mark in c.items()]) for prompt, c in groups.items()]
    shown = preferences.pieces(judged(preferences, given_groups), height, context, seed)
    if all(len(set(candidates.values())) < 2 for candidates in groups.values()):
        with pytest.raises(SystemExit):
            next(shown)
        return
    for piece in itertools.islice(shown, 4):
        assert {each.shape for name, each in vars(piece).items() if name != "better"} == {(height, context)}
        found = placed(preferences, piece)
        assert sorted(found) == list(range(len(found)))
        for prompt in {prompt for prompt, _ in found.values()}:
            assert {ids for each, ids in found.values() if each == prompt} == groups[prompt[1:]].keys()
        for one, other in itertools.product(found, repeat=2):
            compared = found[one][0] == found[other][0] and marks[found[one]] > marks[found[other]]
            assert (piece.better[one, other] > 0) == compared


def test_one_pass_shows_each_candidate_once_that_is_better_or_worse_than_another(preferences):
    groups = [([i % 9 + 1] * (i % 5) + [i // 9 + 1], [([j % 9 + 1] * (j + 1), j) for j in range(i)]) for i in range(20)]
    wanted = Counter(
        ((0, *prompt), tuple(ids)) for prompt, candidates in groups if len(candidates) > 1 for ids, _ in candidates
    )
    seen = Counter()
    for piece in preferences.pieces(judged(preferences, groups), 3, 96, seed=0):  # some have to be parted
        seen.update(placed(preferences, piece).values())
        if seen.total() >= wanted.total():
            break
    assert seen == wanted


def test_a_clear_difference_counts_more_than_a_small_one_and_a_candidate_of_many_as_much_as_one_of_two(preferences):
    groups = [([1], [([2], 0), ([3], 1), ([4], 4)]), ([5], [([2], 1), ([3], 3)])]
    piece = next(preferences.pieces(judged(preferences, groups), 1, 16, seed=0))
    number = {found: slot for slot, found in placed(preferences, piece).items()}
    worst, middle, best = (number[(0, 1), (i,)] for i in (2, 3, 4))
    assert piece.better[best, worst] == piece.better[best, middle] == pytest.approx(2 * piece.better[middle, worst])
    assert piece.better[best, worst] == pytest.approx(1 / 5)  # five candidates, three pairs of three of them
    assert piece.better[number[(0, 5), (3,)], number[(0, 5), (2,)]] == pytest.approx(2 / 5)
    assert np.count_nonzero(piece.better) == 4


def test_only_what_fits_a_row_is_compared(preferences):
    groups = [([1, 2], [([3], 0), ([4] * 5, 1), ([5] * 7, 2)])]
    piece = next(preferences.pieces(judged(preferences, groups), 4, 8, seed=0))
    assert sorted(placed(preferences, piece).values()) == [((0, 1, 2), (3,)), ((0, 1, 2), (4,) * 5)]


def test_no_piece_has_more_candidates_than_slots(preferences, monkeypatch):
    monkeypatch.setattr(preferences, "SLOTS", 4)
    groups = [([1], [([j], j) for j in range(1, 9)]), ([2], [([3], 0), ([4], 1)]), ([3], [([3], 0), ([4], 1)])]
    shown = [placed(preferences, next(preferences.pieces(judged(preferences, groups[:1]), 4, 64, seed=0)))]
    assert len(shown[0]) == 4
    seen = Counter()
    for piece in preferences.pieces(judged(preferences, groups), 4, 64, seed=0):
        found = placed(preferences, piece)
        assert 2 <= len(found) <= 4
        seen.update(found.values())
        if seen.total() >= 12:
            break
    assert seen == Counter(((0, *prompt), tuple(ids)) for prompt, candidates in groups for ids, _ in candidates)


def test_the_same_seed_shows_the_same_pieces_and_each_pass_another_order(preferences):
    made = judged(preferences, [([i], [([j + 1], j) for j in range(5)]) for i in range(1, 9)])
    once, again, other = (
        [piece.read.tolist() for piece in itertools.islice(preferences.pieces(made, 8, 64, seed), 2)]
        for seed in (0, 0, 1)
    )
    assert once == again != other
    assert once[0] != once[1]


@pytest.fixture
def model():
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=10, initializer_range=0.2, eos_token_id=0, attn_implementation="eager", **shape)
    return LlamaForCausalLM(config)


def likely(model, prompt, ids):
    """The log-probability of tokens after a prompt."""
    logits = model(torch.tensor([[*prompt, *ids]])).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
    return logits.gather(1, torch.tensor(ids)[:, None]).sum()


def test_a_candidate_is_as_likely_in_a_packed_row_as_alone(preferences, train, model):
    groups = [([1, 2, 3], [([4, 5], 0), ([6], 1), ([7, 8, 9], 2)]), ([9], [([1, 2], 3), ([2, 1, 0], 4)])]
    groups.append(([], [([3], 0), ([4, 5], 1)]))
    piece = next(preferences.pieces(judged(preferences, groups), 2, 12, seed=0))
    given = {name: torch.from_numpy(each) for name, each in vars(piece).items()}
    mask = preferences.piece_mask(given["group"], given["slot"]).float()
    logits = model(given["read"], attention_mask=mask, position_ids=given["place"]).logits
    packed = preferences.log_probabilities(logits, given["predicted"], given["slot"])
    found = placed(preferences, piece)
    assert len(found) == 7
    for number, (prompt, ids) in found.items():
        torch.testing.assert_close(packed[number], likely(model, prompt, ids), rtol=0, atol=1e-4)


def test_a_candidate_is_as_long_as_the_tokens_that_are_predicted_of_it(preferences):
    groups = [([1, 2, 3], [([4, 5], 0), ([6], 1), ([7, 8, 9], 2)]), ([9], [([1, 2], 3), ([2, 1, 0], 4)])]
    piece = next(preferences.pieces(judged(preferences, groups), 1, 24, seed=0))
    lengths = preferences.lengths(torch.from_numpy(piece.slot)).tolist()
    found = placed(preferences, piece)
    assert [lengths[number] for number in found] == [len(ids) for _, ids in found.values()]
    assert set(lengths[len(found) :]) == {1}


def test_the_loss_is_that_of_the_pairs(preferences):
    liked = torch.randn(preferences.SLOTS)
    better = torch.zeros(preferences.SLOTS, preferences.SLOTS)
    better[3, 5], better[5, 7] = 0.75, 0.25

    def pair(i, j):
        return math.log1p(math.exp((liked[j] - liked[i]).item()))

    expected = 0.75 * pair(3, 5) + 0.25 * pair(5, 7)
    assert preferences.preference_loss(liked, better).item() == pytest.approx(expected, rel=1e-5)
    assert preferences.preference_loss(0 * liked, better).item() == pytest.approx(math.log(2), rel=1e-5)


@pytest.fixture
def trained(train, tmp_path):
    """Train a model, in a folder of its own, on one story and what was judged; returns all losses of pieces."""
    story, folder = np.array([0, *range(1, 10)], np.uint16), itertools.count()
    recipe = train.Recipe(
        context=32,
        short_context=32,
        piece=128,
        judged=256,
        batch=128,
        tokens=40 * 128,
        warmup=1,
        decay=1e-9,
        horizon=1,
        preferred=10.0,
        weights={"tinystories": 200.0},
    )

    def run(model, groups, work=None, teachers=(), **changes):
        work = work or tmp_path / str(next(folder))
        work.mkdir(exist_ok=True)
        others = train.Renaming({}, {}, 0.0), train.Scenes({str(i): i for i in range(10)}, 0.0, 0)
        each = replace(recipe, **changes)
        losses = []
        with pytest.MonkeyPatch.context() as patch:
            loss = train.preference_loss
            patch.setattr(train, "preference_loss", lambda *given: losses.append(loss(*given)) or losses[-1])
            train.train(each, model, teachers, {"tinystories": [story]}, *others, groups, work, compiled=False)
        return [loss.item() for loss in losses]

    return run


PAIRS = [([1], [([2, 3], 4), ([4, 5], 1)]), ([6], [([4, 5], 3), ([2, 3], 0)])]


def margins(model, groups):
    return [
        (likely(model, g.prompt, g.candidates[0][0]) - likely(model, g.prompt, g.candidates[1][0])).item()
        for g in groups
    ]


def test_the_model_comes_to_prefer_what_was_found_better_than_the_model_before_it_does(preferences, model, trained):
    groups = judged(preferences, PAIRS)
    first = margins(model, groups)
    losses = trained(model, groups)
    assert len(losses) == 2 * 40
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)  # when it is the model before
    assert losses[-1] < 0.5 * losses[0]
    assert all(later > before + 1 for later, before in zip(margins(model, groups), first, strict=True))


def test_the_model_comes_to_prefer_what_was_found_better_by_the_mean_of_its_tokens(preferences, model, trained):
    groups = judged(preferences, [([1], [([2, 3, 2, 3], 4), ([4], 1)]), ([6], [([4], 3), ([2, 3], 0)])])

    def mean_margins():
        means = [[(likely(model, g.prompt, ids) / len(ids)).item() for ids, _ in g.candidates] for g in groups]
        return [better - worse for better, worse in means]

    first = mean_margins()
    losses = trained(model, groups, beta_mean=2.0)
    expected = sum(math.log1p(math.exp(-2 * margin)) for margin in first) / 2
    assert losses[0] == pytest.approx(expected, abs=2e-2)
    assert losses[-1] < 0.5 * losses[0]
    assert all(later > before + 0.5 for later, before in zip(mean_margins(), first, strict=True))


def test_what_was_judged_is_learnt_beside_what_a_teacher_predicts(preferences, model, trained):
    groups, teacher = judged(preferences, PAIRS), LlamaForCausalLM(model.config).eval()
    first = margins(model, groups)
    row = torch.arange(10)[None]

    def missed():
        theirs, ours = (each(row).logits.log_softmax(-1) for each in (teacher, model))
        return (theirs.exp() * (theirs - ours)).sum(-1).mean().item()

    far = missed()
    trained(model, groups, teachers=[teacher], taught=1.0, preferred=1.0, tokens=80 * 128)
    assert missed() < 0.5 * far
    assert all(later > before for later, before in zip(margins(model, groups), first, strict=True))


def test_a_run_that_is_resumed_goes_on_with_the_next_pieces_and_the_same_model_before(
    preferences, model, trained, tmp_path
):
    groups = judged(preferences, [([i], [([j + 1] * 4, j) for j in range(5)]) for i in range(1, 10)])  # three pieces
    start = {name: weights.clone() for name, weights in model.state_dict().items()}
    at_once = trained(model, groups, tokens=6 * 128)
    model.load_state_dict(start)
    some = trained(model, groups, work=tmp_path / "parts", tokens=2 * 128)
    model.load_state_dict(start)
    rest = trained(model, groups, work=tmp_path / "parts", tokens=6 * 128)
    assert some + rest == pytest.approx(at_once, abs=1e-4)


def test_what_was_judged_is_read_as_the_game_reads_it(preferences, tmp_path):
    engine, tokenizer = load(str(storyteller())), PreTrainedTokenizerFast.from_pretrained(storyteller())
    file = tmp_path / "preferences.jsonl.gz"
    texts = {" He ran.": 1, '\n\n"Who?" she asked.<|endoftext|>': 4, "ly cold": 2}
    candidates = [{"text": text, "mark": mark, "round": 1} for text, mark in texts.items()]
    candidates.append({"text": " Later.", "mark": 3, "round": 2})
    entry = {"prompt": "It was\u2028cold. He was real", "candidates": candidates}
    file.write_bytes(gzip.compress((json.dumps(entry, ensure_ascii=False) + "\n").encode()))
    (one,) = preferences.read_preferences(file, tokenizer, rounds=2)
    assert tuple(one.prompt) == engine.encode(entry["prompt"])
    # Without "really", which is one token and would be another end of the prompt.
    assert [(engine.decode(ids), mark) for ids, mark in one.candidates] == [
        (" He ran.", 1),
        ('\n\n"Who?" she asked.', 4),
    ]
    assert one.candidates[1][0][-1] == tokenizer.eos_token_id


def test_a_candidate_is_worth_its_mark_less_its_most_worn_phrase(preferences, tmp_path):
    def judged(prompt, *candidates):
        named = [{"text": text, "mark": mark, "round": number} for text, mark, number in candidates]
        return {"prompt": prompt, "candidates": named}

    entries = [
        judged("Tom ran.", (" He felt cold, and then he sat down.", 3, 2), (" The moon shone on him alone.", 2, 2)),
        judged("Ann sat.", ("\n\nShe felt cold and THEN she sat up.", 4, 2), (" Felt cold and then.", 1, 2)),
        judged("It snowed.", (" The moon shone on it alone.", 3, 2), (" He felt cold and then ill.", 2, 3)),
        judged("Then felt cold and then ill.", (" She felt cold and then ill.", 2, 3), (" Why?", 0, 2)),
        judged("It was hot.", (" The moon shone on. The moon shone on.", 2, 3), (" A new thing came in.", 1, 3)),
        judged("An owl.", (" The moon shone on.", 1, 1)),
        *(judged(f"{number} owls.", (" Yes.", 1, number % 2)) for number in range(7)),
    ]
    file = tmp_path / "preferences.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode()))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(storyteller())

    def worth(**given):
        read = preferences.read_preferences(file, tokenizer, since=2, **given)
        return [[each for _, each in one.candidates] for one in read[:5]]

    assert worth(rounds=4) == [[3, 2], [4, 1], [3, 2], [2, 0], [2, 1]]
    # "felt cold and then" stands after two of the first round's four prompts and after one of the second's three, where
    # another says so itself, which does not count; "the moon shone on" after two and one, but after one in
    # eight of those before; no other after more than one.
    half, moon, alone = 2 / 4, 2 / 4 - 1 / 8, 1 / 3
    expected = [[3 - half, 2 - moon], [4 - half, 1 - half], [3 - moon, 2 - half], [2 - alone, 0], [2 - moon, 1 - alone]]
    assert worth(rounds=4, worn=1.0) == [pytest.approx(each) for each in expected]
    assert worth(rounds=4, worn=100.0)[0] == [3 - preferences.CLEAR, 2 - preferences.CLEAR]
    assert worth(rounds=4, worn=1.0, phrase=5)[0] == [3 - alone, 2 - 1 / 4]  # of five words
    assert worth(rounds=3, worn=1.0)[3:] == [[0], []]  # what was judged later is neither there nor counted
    read = preferences.read_preferences(file, tokenizer, rounds=4, since=3)
    assert [[each for _, each in one.candidates] for one in read[:5]] == [[], [], [2], [2], [2, 1]]


def test_what_comes_with_fate_is_enough_to_compare(preferences, train):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(storyteller())
    found = preferences.read_preferences(train.PREFERENCES, tokenizer, rounds=2)
    assert sum(len(one.candidates) for one in found) == 10_967 - 1  # would change the last token of its prompt
    with gzip.open(train.PREFERENCES, "rt", encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    assert len(entries) == len(found)
    prompts = {entry["prompt"] for entry in entries}
    assert len(prompts) == len(entries)
    assert not {opening.text for opening in openings()} & prompts  # so that they can be judged
    marks = defaultdict(set)
    for entry in entries:
        for candidate in entry["candidates"]:
            marks[bisect([9, 14], candidate["round"])].add(candidate["mark"])
    divided = {0, 1, 2, 2.5, 4, 5}
    assert (marks[0], marks[1]) == ({0, 1, 2, 3, 4}, divided)
    assert divided < marks[2] < {(one + other) / 2 for one in divided for other in divided}
    assert any(recipe.preferred for recipe in train.RUNS)
    assert all(recipe.teachers for recipe in train.RUNS if recipe.preferred)
