from random import Random

import pytest

from fate.dataset import hashes
from fate.dataset.hashes import Hashes, digests
from fate.dataset.repeats import ALIKE, SHINGLE, Repeats
from fate.openings import openings

WORDS = sorted({word for opening in openings() for word in opening.text.split()})


def counted(folder, texts, at_once=7):
    folder.mkdir(exist_ok=True)
    repeats = Repeats(folder)
    for start in range(0, len(texts), at_once):
        repeats.add(texts[start : start + at_once])
    return tuple(repeats.count())


def passages(count, words=20, seed=0):
    rng = Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]


def with_a_word_changed(text, place):
    words = text.split()
    words[place] = "zebra"
    return " ".join(words)


def shingles(text):
    words = text.split()
    return {tuple(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1)}


def similarity(one, other):
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def test_nothing_repeats_nothing(tmp_path):
    assert counted(tmp_path, []) == (0, 0)
    assert counted(tmp_path, ["He slept."]) == (0, 0)
    assert counted(tmp_path, passages(500)) == (0, 0)


def test_the_same_words_in_whatever_case_and_punctuation_are_a_repeat(tmp_path):
    assert counted(tmp_path, ["He slept.", "he \u201cslept\u201d \u2026", "HE SLEPT!", "slept he"]) == (2, 0)


def test_texts_without_words_repeat_each_other(tmp_path):
    assert counted(tmp_path, ["", " \u2026", "?!", "Yes"]) == (2, 0)


def test_a_word_changed_in_twenty_is_nearly_a_repeat_and_two_are_none(tmp_path):
    (text,) = passages(1)
    once = with_a_word_changed(text, 10)
    assert counted(tmp_path / "once", [text, once]) == (0, 1)
    assert counted(tmp_path / "twice", [text, with_a_word_changed(once, 5)]) == (0, 0)


def test_a_short_text_is_alike_only_if_it_is_the_same(tmp_path):
    assert counted(tmp_path, ["The end.", "The end", "The bend.", "End the."]) == (1, 0)


def test_nearly_all_that_are_alike_are_found_and_nothing_else(tmp_path):
    rng = Random(1)
    originals = passages(400, words=40)
    changed = []
    for text in originals:
        copy = text
        for place in rng.sample(range(40), rng.randrange(1, 8)):
            copy = with_a_word_changed(copy, place)
        changed.append(copy)
    alike = sum(similarity(*pair) >= ALIKE for pair in zip(originals, changed, strict=True))
    assert 100 < alike < 300
    exactly, nearly = counted(tmp_path, originals + changed, at_once=50)
    assert exactly == 0
    assert 0.97 * alike <= nearly <= alike


def test_the_counts_do_not_hang_on_how_many_come_at_once_or_fit_in_memory(tmp_path, monkeypatch):
    originals = passages(60)
    texts = originals + originals[:20] + [with_a_word_changed(text, 3) for text in originals[20:50]]
    expected = counted(tmp_path / "some", texts)
    assert expected == (20, 30)
    assert counted(tmp_path / "all", texts, at_once=1000) == expected
    monkeypatch.setattr(hashes, "_IN_MEMORY", 16)
    monkeypatch.setattr("fate.dataset.repeats._WORDS", 5)
    monkeypatch.setattr("fate.dataset.repeats._PAIRS", 3)
    assert counted(tmp_path / "parts", texts, at_once=1) == expected


@pytest.mark.parametrize("in_memory", [4, 1000])
def test_hashes_are_sorted_and_counted_in_parts(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(hashes, "_IN_MEMORY", in_memory)
    numbers = Random(0).choices(range(30), k=100)
    kept = Hashes(tmp_path / "hashes")
    for start in range(0, 100, 9):
        kept.add(digests(map(str, numbers[start : start + 9])))
    assert kept.different() == len(set(numbers))
    places = {}
    for found, order in kept.sorted():
        assert (found[1:] >= found[:-1]).all()
        for value, place in zip(found.tolist(), order.tolist(), strict=True):
            places.setdefault(value, []).append(place)
    for value, number in {int(digests([str(n)])[0]): n for n in numbers}.items():
        assert places[value] == [place for place, n in enumerate(numbers) if n == number]


def test_no_hashes_are_none(tmp_path):
    assert Hashes(tmp_path / "hashes").different() == 0
