"""A story that fate writes by itself is kept like any other, and nobody is said to have preferred anything in it."""

from fate.auto import write
from fate.core.text import harmless
from fate.dataset import ExportOptions, export
from fate.dataset.check import check
from fate.dataset.stats import stats
from fate.store import Store
from tests.command import run
from tests.fakes import NUMBERED, TEXTS, FakeEngine
from tests.playing import OPENING, offered, playing


def alone(store, engine=None):
    play = playing(store, engine)
    play.shown = False
    return play


def test_as_many_passages_as_asked_for_are_kept_one_by_one(store):
    play = alone(store, FakeEngine(NUMBERED))
    passages = []
    for passage in write(play, 4):
        passages.append(passage)
        assert store.path(play.path.story_id).passages == tuple(passages)
    assert len(passages) == 4
    assert play.path.text == OPENING + "".join(passages)
    for choice in store.choices():
        assert choice.decision.kind == "auto"
        assert not choice.decision.blind
        assert not any(c.shown for c in choice.candidates)


def test_what_the_story_says_already_is_not_taken_again(store):
    first, second, third = write(alone(store), 3)
    assert {first, second, third} == set(TEXTS)


def test_a_story_does_not_end_in_its_first_half_where_a_candidate_goes_on(store):
    play = alone(store, FakeEngine(NUMBERED, ("sentence", "sentence", "eos")))
    assert list(write(play, 5)) == [" One 1.", " One 2.", " Three 3."]  # the longest, as all are as likely


def test_where_the_story_ends_nothing_more_is_written(store):
    play = alone(store, FakeEngine(NUMBERED, ("eos", "eos", "eos")))
    assert len(list(write(play, 5))) == 1
    assert play.path.ended


def test_no_preference_follows_until_a_reader_chooses(store, tmp_path):
    play = alone(store)
    list(write(play, 3))
    assert list(check(store, {})) == []
    rows = export(store, tmp_path / "alone", ExportOptions()).rows
    assert (rows["choices"], rows["pairs"], rows["unpaired"], rows["sft"]) == (3, 0, 0, 0)
    assert stats(store).positions[0].whole == 0
    counted = stats(store)
    assert (counted.decisions, counted.annotators) == ({"auto": 3}, {})
    reader = playing(store, story=play.path.story_id)
    assert reader.undo()
    assert reader.redo()
    assert reader.undo()
    assert counted.decisions | {"undone": 1} == stats(store).decisions | {"auto": 3}
    choice = offered(reader)
    assert all(c.shown for c in choice.candidates)
    reader.choose(choice, choice.candidates[1], 300)
    rows = export(store, tmp_path / "read", ExportOptions()).rows
    assert (rows["pairs"], rows["sft"]) == (2, 1)
    assert stats(store).agreement_between.same.whole == 0  # with fate itself nobody can agree


def test_the_command_prints_the_story_alone_and_keeps_it(tmp_path, tiny_folders):
    flags = ("--db", str(tmp_path / "fate.db"), "--model", str(tiny_folders["llama"]))
    done = run("auto", OPENING, "-n", "4", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(OPENING)
    store = Store(flags[1])
    (story,) = store.stories()
    assert done.stdout == f"{harmless(store.path(story.id).text)}\n"
    assert 1 <= story.steps <= 4
    store.close()
    assert run("check", *flags).returncode == 0
    assert "0 parted" in run("replay", *flags).stdout


def test_an_unknown_policy_and_an_empty_opening_are_told(tmp_path):
    for arguments, expected in ((("--policy", "clever"), "policy = 'clever'"), ((" ",), "The opening is empty")):
        done = run("auto", *arguments, "--db", str(tmp_path / "fate.db"))
        assert done.returncode == 1
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1
