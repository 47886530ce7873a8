"""Plays of the installed program in a pseudo-terminal."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pexpect
import pytest

from fate.engine import load
from fate.openings import openings
from fate.store import Store
from tests.terminal import FATE, Terminal

termios = pytest.importorskip("termios")

KILL_ROUNDS = int(os.environ.get("FATE_KILL_ROUNDS", "3"))
KILL_SEED = int(os.environ.get("FATE_KILL_SEED", "0"))
OPENING = "Once upon a time there was a girl who kept a lantern in her pocket."


def answer(terminal, number, key="1"):
    """Answer the choice with this number, whose candidates are complete, and wait for the next."""
    terminal.wait_for(rf"choice {number} · which one\?")
    time.sleep(0.35)  # the grace, and the time in which a person would have read
    terminal.press(key)
    terminal.wait_for(rf"choice {number + 1}|r writes on")
    if "r writes on" in terminal.text:
        terminal.press("r")


def test_from_an_opening_to_the_third_choice_and_into_the_database(tiny_folders, tmp_path):
    with Terminal("--model", str(tiny_folders["llama"]), home=tmp_path) as terminal:
        terminal.wait_for("how does it begin")
        terminal.press("\r")
        terminal.wait_for("Once upon a time, in a village")
        for number, key in enumerate("123", start=1):
            answer(terminal, number, key)
        terminal.press("q")
        terminal.wait_for("3 choices")
        terminal.press("q")
        assert terminal.ended() == 0

    store, engine = Store(tmp_path / "fate.db"), load(str(tiny_folders["llama"]))
    (story,) = store.stories()
    path = store.path(story.id)
    answered = [choice for choice in store.choices() if choice.decision]
    assert [c.step for c in answered] == [0, 1, 2]
    assert len(path.passages) == 3
    before = path.opening
    for position, choice in enumerate(answered):
        assert len(choice.candidates) == 3
        assert choice.decision.candidate_id == choice.candidates[position].id
        assert engine.decode(choice.prompt_ids) == choice.prompt == before
        for candidate in choice.candidates:
            assert engine.decode(choice.prompt_ids + candidate.written.kept_ids) == before + candidate.written.text
        before += choice.candidates[position].written.text
    assert before == path.text
    assert list(store.query("SELECT count(*) FROM pair")) == [(6,)]
    store.close()


def test_an_opening_on_the_command_line_starts_at_once(tiny_folders, tmp_path):
    with Terminal("play", OPENING, "--model", str(tiny_folders["gpt2"]), home=tmp_path, size=(80, 24)) as terminal:
        terminal.wait_for("kept a lantern in her")
        answer(terminal, 1)


def test_an_opening_on_standard_input_is_played_with_the_keys_of_the_terminal(tiny_folders, tmp_path):
    command = f"echo '{OPENING}' | {FATE} play - --model {tiny_folders['gpt2']}"
    with Terminal("-c", command, command="/bin/sh", home=tmp_path) as terminal:
        terminal.wait_for("kept a lantern in her")
        answer(terminal, 1, "2")


@pytest.fixture
def never_imported(tmp_path, monkeypatch):
    """A function that makes the import of a package last for ever."""

    def block(package):
        (tmp_path / package).mkdir()
        # In short sleeps: Python sees a signal that comes just before one only after it.
        (tmp_path / package / "__init__.py").write_text("import time\nwhile True: time.sleep(0.05)")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return block


def test_the_story_is_there_before_torch(never_imported, tmp_path):
    never_imported("torch")
    with Terminal("play", OPENING, home=tmp_path) as terminal:
        terminal.wait_for("kept a lantern in her")


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (41, 13)])
def test_the_first_frame_is_there_before_what_draws_the_others_and_looks_like_the_second(
    never_imported, tmp_path, size
):
    frames = []
    for package in "textual", "sqlalchemy":  # the second frame is there before the database
        never_imported(package)
        with Terminal("play", OPENING, home=tmp_path / package, size=size) as terminal:
            terminal.wait_for("opening the book")
            frames.append(terminal.text)
        (tmp_path / package / "__init__.py").unlink()
    assert frames[0].startswith(" fate")
    assert frames[0] == frames[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP])
def test_a_start_that_is_broken_off_at_the_first_frame_leaves_the_terminal_as_it_was(never_imported, tmp_path, number):
    never_imported("textual")
    with Terminal("play", home=tmp_path) as terminal:
        keys = terminal.process.child_fd
        before = termios.tcgetattr(keys)
        terminal.wait_for("opening the book")
        assert termios.tcgetattr(keys) != before
        terminal.process.kill(number)
        terminal.process.expect_exact("\x1b[?1049l\x1b[?25h")
        terminal.process.expect(pexpect.EOF)
        assert termios.tcgetattr(keys) == before
        terminal.process.wait()
        assert terminal.process.exitstatus == 128 + number


def test_a_signal_that_comes_while_the_first_frame_is_written_leaves_the_terminal_as_it_was():
    code = """if True:
        import os, signal
        from fate.tui.first_frame import first_frame
        write = os.write
        def written(*given):
            os.write = write
            write(*given)
            signal.raise_signal(signal.SIGINT)
        os.write = written
        with first_frame():
            pass
        """
    process = pexpect.spawn(sys.executable, ["-c", code])
    before = termios.tcgetattr(process.child_fd)
    process.expect_exact("opening the book")
    process.expect_exact("\x1b[?1049l\x1b[?25h")
    process.expect(pexpect.EOF)
    assert termios.tcgetattr(process.child_fd) == before
    process.wait()
    assert process.exitstatus == 128 + signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_game_that_is_asked_to_end_leaves_the_terminal_as_it_was(tmp_path, number):
    with Terminal("play", OPENING, home=tmp_path) as terminal:
        terminal.wait_for("kept a lantern in her")
        terminal.process.kill(number)
        terminal.process.expect_exact("\x1b[?1049l")
        terminal.process.expect(pexpect.EOF)
        assert "Traceback" not in terminal.process.before.decode()
        terminal.process.wait()
        assert terminal.process.exitstatus == 128 + number


def test_the_key_that_leaves_counts_at_the_first_frame_too(tmp_path):
    with Terminal("play", home=tmp_path) as terminal:
        terminal.wait_for("opening the book")
        terminal.press("\x11")  # ctrl+q
        assert terminal.ended() == 0


def test_keys_pressed_at_the_first_frame_are_for_the_screen_that_follows(tmp_path):
    with Terminal("play", home=tmp_path) as terminal:
        terminal.wait_for("opening the book")
        terminal.press("\x1b[B\r")  # down and enter: the second opening
        terminal.wait_for("choice 1")
        assert openings()[1].text[:30] in terminal.text


def test_a_start_that_fails_leaves_the_terminal_as_it_was(tmp_path):
    (tmp_path / "fate.db").write_text("spilled coffee" * 1000)
    with Terminal(home=tmp_path) as terminal:
        terminal.process.expect(r"\x1b\[\?1049l[^\n]*fate: [^\x1b]* is not a fate database")


def test_a_model_that_is_not_there_is_one_sentence_and_a_failure(tmp_path):
    with Terminal("--model", str(tmp_path / "nowhere"), home=tmp_path) as terminal:
        terminal.process.expect("fate: There is no folder .*nowhere; give a folder with config.json")
        assert terminal.ended() == 1


def start(terminal):
    """Resume the last story, or begin one, up to its first complete candidates; the number of that choice."""
    terminal.wait_for("A new story|how does it begin")
    terminal.press("\r")
    found = terminal.wait_for(r"choice (\d+) · which one|r writes on")
    if not found[1]:
        terminal.press("r")
        found = terminal.wait_for(r"choice (\d+) · which one")
    time.sleep(0.35)
    return int(found[1])


def intact(file):
    """The passages on the path of the only story in a database that was not closed."""
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert set(db.execute("SELECT count(*) FROM candidate GROUP BY choice_id")) <= {(3,)}
    store = Store(file)
    (story,) = store.stories()
    passages = store.path(story.id).passages
    assert story.steps == len(passages)
    store.close()
    return passages


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_at_any_moment_nothing_that_was_shown_is_lost(tmp_path):
    """Rounds of play, each ended by SIGKILL; then the file is compared with what the screen had said.

    Every other round is killed at the very byte that acknowledges a choice, the others at a random moment.
    """
    rng = random.Random(KILL_SEED)
    with Terminal(home=tmp_path) as terminal:  # and one while the file is being made
        time.sleep(rng.uniform(0.3, 1.0))
        terminal.kill()
    answers = 0
    for turn in range(KILL_ROUNDS):
        with Terminal(home=tmp_path) as terminal:
            number = start(terminal)
            if turn % 2 == 0:
                terminal.press(rng.choice("123"))
                terminal.kill_at(f"choice {number + 1} ".encode(), b"r writes on")
                acknowledged = number
            else:
                end = time.monotonic() + rng.uniform(0.2, 2.5)
                while time.monotonic() < end and "r writes on" not in terminal.text:
                    terminal.press(rng.choice("123r"))
                    time.sleep(rng.uniform(0, 0.2))
                acknowledged = int(terminal.wait_for(r"choice (\d+)|the end")[1] or number) - 1
                terminal.kill()
        assert len(intact(tmp_path / "fate.db")) >= acknowledged
        answers += acknowledged - (number - 1)
    print(f"\n{KILL_ROUNDS} rounds, {answers} choices acknowledged in them, none lost")


def test_without_a_terminal_it_is_told(tmp_path):
    done = subprocess.run(
        [FATE, "--db", str(tmp_path / "x.db")], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr == "fate: The game needs a terminal for its keys, its screen and its errors; start it from one.\n"
    )
