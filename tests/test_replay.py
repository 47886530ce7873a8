import os
import subprocess
from dataclasses import replace
from random import Random

import pytest

from fate.core.sampling import SamplerSettings, SettingsRanges
from fate.engine import load
from fate.paths import storyteller
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.replay import replay, what_if
from tests.command import run
from tests.terminal import FATE

OPENING = "Once upon a time there was a girl who kept a lantern in her pocket."


def play(store, engine, keys, story=None, seed=0, best_of=1):
    """Choose, reroll (r), undo (u), take before it is complete (c), edit (e) or write (w)."""
    story = story or store.new_story(OPENING)
    policy = UniformPolicy(SettingsRanges(fixed=SamplerSettings(best_of=best_of)))
    game = Playthrough(store, engine, policy, story, rng=Random(seed))
    for key in keys:
        if key == "u":
            game.undo()
            continue
        asked = iter(range(100))
        offers = game.offer(stop=lambda key=key, asked=asked: key == "c" and next(asked) >= 7)
        choice = list(offers)[-1].choice
        if key == "r":
            game.reroll(choice, 300)
        elif key == "e":
            game.edit(choice, choice.candidates[0], "She said no.", 300)
        elif key == "w":
            game.write(choice, "Then it rained.", 300)
        else:
            game.choose(choice, choice.candidates["123".find(key) % 3], 300)
    return story


@pytest.mark.shuffled
@pytest.mark.parametrize(
    ("family", "best_of"), [("llama", 1), ("llama", 3), ("gpt_neox", 1), ("bloom", 1), ("gpt2", 1)]
)
def test_what_was_chosen_rerolled_undone_cut_off_and_resumed_comes_out_the_same(store, tiny_folders, family, best_of):
    engine = load(str(tiny_folders[family]), context=240)  # shorter than the story
    story = play(store, engine, "12er3u1cw22uu3", best_of=best_of)
    play(store, load(str(tiny_folders[family]), context=240), "r121", story, seed=1, best_of=best_of)
    fresh = load(str(tiny_folders[family]), context=240)
    results = [result for choice in store.choices(story) for result in replay(fresh, choice)]
    assert len(results) > 30
    assert all(result.identical and result.same_environment for result in results)
    assert max(result.difference for result in results) < 1e-4


def test_the_storytellers_candidates_come_out_the_same_alone_and_where_a_choice_was_cut_off(store):
    engine = load(str(storyteller()))
    policy = UniformPolicy(SettingsRanges(fixed=SamplerSettings(**engine.sampler)))
    cut, game = set(), Playthrough(store, engine, policy, store.new_story(OPENING), rng=Random(1))
    for asked in (18, 21):
        times = iter(range(100))
        choice = list(game.offer(stop=lambda times=times, asked=asked: next(times) >= asked))[-1].choice
        for again in replay(engine, choice):
            assert again.identical, str(again)
            cut.add(again.candidate.written.finish_reason == "cancelled")
        game.choose(choice, choice.candidates[1], 300)
    assert True in cut
    choice = list(game.offer())[-1].choice
    for candidate in choice.candidates:
        assert list(what_if(engine, choice, candidate, candidate.written.settings))[-1].text == candidate.written.text


def test_what_if_follows_the_text_that_was_offered_or_of_one_that_was_cut_off_the_first(store, tiny_folders):
    engine = load(str(tiny_folders["llama"]))
    for choice in list(store.choices(play(store, engine, "1c2", best_of=3))):
        for candidate in choice.candidates:
            *_, again = what_if(engine, choice, candidate, candidate.written.settings)
            assert again.text.startswith(candidate.written.text)


@pytest.mark.shuffled
def test_a_candidate_that_was_written_again_comes_out_the_same(store, tiny_folders):
    few = UniformPolicy(SettingsRanges(top_k=(2, 3), fixed=SamplerSettings(min_new_tokens=1, max_new_tokens=2)))
    engine = load(str(tiny_folders["llama"]))

    def played(ahead):
        game, again, written = Playthrough(store, engine, few, store.new_story(OPENING), rng=Random(0)), 0, []
        for _ in range(12):
            begun = engine.begun
            choice = list(game.offer())[-1].choice
            again += engine.begun > begun + 1
            assert len({c.written.text for c in choice.candidates}) == 3
            written.append(
                [(c.slot, c.written.seed, c.written.output_ids, c.written.logprobs) for c in choice.candidates]
            )
            if ahead:
                game.look_ahead(choice, lambda: False)
            game.choose(choice, choice.candidates[0], 5)
        assert 3 < again < 12
        return written

    assert played(ahead=True) == played(ahead=False)
    fresh = load(str(tiny_folders["llama"]))
    results = [result for choice in store.choices() for result in replay(fresh, choice)]
    assert all(result.identical and result.difference < 1e-4 for result in results)


def test_another_precision_says_where_it_parted_and_by_how_much(store, tiny_folders):
    engine = load(str(tiny_folders["llama"]))
    story = play(store, engine, "123123")
    engine = load(str(tiny_folders["llama"]), precision="bfloat16")
    results = [result for choice in store.choices(story) for result in replay(engine, choice)]
    assert not any(result.same_environment for result in results)
    assert any(0 < result.difference < 1 for result in results)
    for result in results:
        assert 0 <= result.matched <= len(result.candidate.written.output_ids)


def test_the_command_replays_the_last_story_or_all(store, tiny_folders, tmp_path):
    engine = load(str(tiny_folders["gpt2"]))
    play(store, engine, "12")
    last = play(store, engine, "123")
    store.close()
    options = ("--model", str(tiny_folders["gpt2"]), "--db", str(tmp_path / "fate.db"))
    for arguments, count in ((), 9), ((last[:6],), 9), (("--all",), 15):
        done = run("replay", *arguments, *options)
        assert done.returncode == 0, done.stderr
        *told, summary = done.stdout.splitlines()
        assert summary == f"{count} candidates identical, 0 parted, 0 written by another model"
        assert len(told) == count
        assert all(": identical, " in line for line in told)
    assert run("replay", "nothing", *options).stderr.startswith(
        "fate: There is no story whose id begins with 'nothing'"
    )
    other = run("replay", "--all", "--model", str(tiny_folders["llama"]), "--db", str(tmp_path / "fate.db"))
    assert other.stdout == "0 candidates identical, 0 parted, 15 written by another model\n"


def test_a_changed_token_fails_the_command_and_is_named(store, tiny_folders, tmp_path):
    engine = load(str(tiny_folders["gpt2"]))
    play(store, engine, "1")
    (choice,) = store.choices()
    first = max(choice.candidates, key=lambda candidate: len(candidate.written.output_ids))
    ids = (*first.written.output_ids[:2], first.written.output_ids[2] + 1, *first.written.output_ids[3:])
    forged = replace(
        choice,
        id="forged",
        candidates=tuple(
            replace(c, id=f"forged{c.slot}", written=replace(c.written, output_ids=ids) if c is first else c.written)
            for c in choice.candidates
        ),
    )
    store.add_choice(forged)
    store.close()
    done = run("replay", "--model", str(tiny_folders["gpt2"]), "--db", str(tmp_path / "fate.db"))
    assert done.returncode == 1
    assert f"choice 1 candidate {first.position + 1}: parted after 2 of" in done.stdout
    assert done.stdout.count(": identical, ") == 5


def test_other_threads_are_another_environment_in_which_to_part_is_no_error(store, tiny_folders, tmp_path):
    play(store, load(str(tiny_folders["llama"])), "12")
    store.close()
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}  # the tests have one
    done = subprocess.run(
        [FATE, "replay", "--model", str(tiny_folders["llama"]), "--db", str(tmp_path / "fate.db")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(written in another environment)") == 6
