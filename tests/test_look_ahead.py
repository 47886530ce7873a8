"""What is written while the reader reads, and that nothing is other than it would have been."""

from dataclasses import replace
from random import Random

import pytest

from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import lean, load
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.replay import what_if
from fate.store import Store
from tests.fakes import FakeEngine
from tests.playing import BEST_OF_TWO, OPENING, POLICY, offered, playing
from tests.products import only

SHORT = UniformPolicy(SettingsRanges(fixed=SamplerSettings(min_new_tokens=4, max_new_tokens=16)))


def ahead(playthrough, choice, asked=10**6):
    """Write ahead until that was asked so often whether to stop: for each layer of a reading, and for each token."""
    left = iter(range(asked))
    playthrough.look_ahead(choice, lambda: next(left, None) is None)


@pytest.fixture(params=["lean", "transformers"])
def engine(request, engines, transformers_engine):
    return engines["llama"] if request.param == "lean" else transformers_engine


@pytest.mark.parametrize(
    ("asked", "policy"),
    [(0, POLICY), (7, POLICY), (40, POLICY), (10**6, POLICY), (40, BEST_OF_TWO), (10**6, BEST_OF_TWO)],
)
def test_what_is_offered_does_not_depend_on_how_much_was_written_ahead(tmp_path, engine, asked, policy):
    def written(name, looking):
        store = Store(tmp_path / f"{name}.db")
        playthrough, rows = playing(store, engine, policy=policy), []
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


def test_a_finished_row_does_not_go_on_beside_longer_ones(engines):
    engine = engines["llama"]
    prompt = engine.encode(OPENING)
    short, long = (replace(SamplerSettings(), min_new_tokens=n, max_new_tokens=n) for n in (5, 20))
    batch = engine.generate_each([prompt, prompt], [[short] * 3, [long] * 3], [(4, 5, 6), (7, 8, 9)])
    while not batch.done:
        batch.step()
    rows = [row for generation in batch.generations for row in generation.rows]
    assert [len(row.output_ids) for row in rows] == [5] * 3 + [20] * 3
    assert engine.decoder._tails.written == [[prompt[-1], *row.output_ids[:-1]] for row in rows]


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
