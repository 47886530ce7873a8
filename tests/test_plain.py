import io
import re
import subprocess
from random import Random

from fate.core.sampling import SettingsRanges
from fate.openings import openings
from fate.plain import HELP, Plain
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from fate.store import Store
from tests.fakes import TEXTS, FakeEngine
from tests.terminal import FATE

OPENING = "The old man looked at the sea."


def play(store, typed, engine=None):
    """What the game says to these answers, and where the story stands then."""
    out = io.StringIO()
    story = store.new_story(OPENING)
    game = Playthrough(store, engine or FakeEngine(), UniformPolicy(SettingsRanges()), story, rng=Random(0))
    Plain(io.StringIO(typed), out).play(game)
    return out.getvalue(), store.path(story)


def decisions(store):
    return [choice.decision.kind if choice.decision else None for choice in store.choices()]


def test_answers_are_choices(store):
    said, path = play(store, "2\n1\nq\n")
    assert path.passages == (TEXTS[1], TEXTS[0])
    assert OPENING in said.splitlines()[2]
    for number, text in enumerate(TEXTS, 1):
        assert f"{number}.{text}" in said
    assert decisions(store) == ["chosen", "chosen", None]


def test_the_end_of_the_input_is_no_wish_for_another_story():
    out = io.StringIO()
    plain = Plain(io.StringIO(""), out)
    assert plain.choose_story([]) is None
    assert plain.choose_opening(openings()) is None
    assert openings()[0].text not in out.getvalue()


def test_the_end_of_the_input_leaves_and_loses_nothing(store):
    _, path = play(store, "3\n")
    assert path.passages == (TEXTS[2],)


def test_reroll_and_undo_are_the_same_as_on_the_screen(store):
    said, path = play(store, "r\n1\nu\n2\nu\nu\nu\n")
    assert path.passages == ()
    assert "This is where the story begins." in said
    assert decisions(store) == ["undone", "undone", None, None]  # two that were not answered


def test_candidates_past_an_ending_wait_where_they_were_left(store):
    engine = FakeEngine(reasons=("eos",) * 3)
    game = Playthrough(store, engine, UniformPolicy(SettingsRanges()), store.new_story(OPENING), rng=Random(0))
    for answers in ("1\nr\nq\n", "q\n"):
        out = io.StringIO()
        Plain(io.StringIO(answers), out).play(game)
    assert "The end. r" not in out.getvalue()
    assert "Choice 2 > " in out.getvalue()


def test_what_was_undone_is_said_again(store):
    said, path = play(store, "U\n2\nu\nU\nq\n")
    assert said.count("There is nothing to redo.") == 1
    assert len(path.passages) == 1
    assert decisions(store) == ["chosen", None]


def test_parameters_are_told_and_the_decision_knows_it(store):
    said, _ = play(store, "1\np\n1\nq\n")
    settings = list(store.choices())[1].candidates[0].written.settings
    assert f"1. {settings.summary()}" in said
    assert [choice.decision.blind for choice in store.choices() if choice.decision] == [True, False]


def test_a_word_after_a_choice_says_why(store):
    said, _ = play(store, "plot\n1\nsurprise\nplot\nr\nstyle\nt\nplot\nq\n")
    assert said.count("Kept why: ") == 2
    assert said.count(HELP) == 3  # before any choice, a second time, and of a tie
    assert [choice.decision.reason for choice in store.choices() if choice.decision] == ["surprise", "style", None]


def test_anything_else_tells_the_answers_there_are(store):
    said, path = play(store, "4\nhello\n\nq\n")
    assert said.count(HELP) == 3
    assert path.passages == ()


def test_an_ending_may_be_gone_beyond(store):
    said, path = play(store, "1\nr\n2\nq\n", FakeEngine(reasons=("eos", "sentence", "sentence")))
    assert "The end. r writes on" in said
    assert path.passages == (TEXTS[0], TEXTS[1])


def test_control_characters_are_shown_not_obeyed(store):
    said, _ = play(store, "q\n", FakeEngine([" \x1b[31mred", " \x07", " x"]))
    assert "\x1b" not in said
    assert "␛[31mred" in said


def test_stories_and_openings_are_picked_by_number():
    out = io.StringIO()
    assert Plain(io.StringIO("99\n2\n"), out).choose_opening(openings()) == openings()[1].text
    assert Plain(io.StringIO("A door opened.\n"), out).choose_opening(openings()) == "A door opened."
    assert Plain(io.StringIO(""), out).choose_opening(openings()) is None
    assert f"1. {openings()[0].genre}: {openings()[0].text}" in out.getvalue()


def test_the_command_plays_through_a_pipe(tiny_folders, tmp_path):
    options = ("--plain", "--model", str(tiny_folders["gpt2"]), "--db", str(tmp_path / "fate.db"))
    first = subprocess.run(
        [FATE, "play", OPENING, *options], input="1\nq\n", capture_output=True, text=True, check=False
    )
    assert first.returncode == 0, first.stderr
    again = subprocess.run([FATE, *options], input="1\n2\nr\nr\nq\n", capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert re.search(r"1\. The old man looked at the sea\. \(1 choice, \d+ words\)", again.stdout)
    store = Store(tmp_path / "fate.db")
    assert len(store.stories()) == 1
    assert len([choice for choice in store.choices() if choice.decision]) >= 2
    store.close()


def test_a_tie_an_edit_and_a_passage_of_ones_own_are_answers(store):
    said, path = play(store, "t\ne2\nNobody was there.\nw\n\nw\nThen it rained.\nq\n")
    assert path.passages == (" Nobody was there.", " Then it rained.")
    assert decisions(store) == ["tie", "edited", "written", None]
    assert "Kept: Then it rained." in said


def test_a_judged_candidate_stands_where_it_stood_in_play(store):
    play(store, "1\n2\n3\nq\n", FakeEngine([f"{text[:-1]} in story {{n}}." for text in TEXTS]))
    out = io.StringIO()
    Plain(io.StringIO("2\n" * 4), out).judge(store, "Ben", 20, Random(1))
    for choice in store.choices():
        said = next(d for d in choice.decisions if d.annotator == "Ben")
        taken = choice.candidates[1]
        assert (said.candidate_id, taken.position) == (taken.id, 1)
        for candidate in choice.candidates:
            assert f"{candidate.position + 1}. {candidate.written.text.strip()}" in out.getvalue()


def test_old_choices_are_judged_again_and_no_story_moves(store):
    _, path = play(store, "1\n2\nq\n")
    out = io.StringIO()
    Plain(io.StringIO("1\nx\nr\nt\n"), out).judge(store, "Ben", 20, Random(0))
    assert store.path(path.story_id) == path
    said = [d.kind for choice in store.choices() for d in choice.decisions if d.annotator == "Ben"]
    assert sorted(said) == ["chosen", "none_good", "tie"]
    assert all(d.review for choice in store.choices() for d in choice.decisions if d.annotator == "Ben")
    assert out.getvalue().count(OPENING) == 3
    assert "That was the last one." in out.getvalue()
