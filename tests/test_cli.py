import subprocess
import sys
from pathlib import Path

import pytest

import fate
from tests.terminal import FATE


def run(*arguments, command=(FATE,)):
    return subprocess.run([*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("command", [(FATE,), (sys.executable, "-m", "fate")])
def test_version_and_help_answer(command):
    assert run("--version", command=command).stdout == f"fate {fate.__version__}\n"
    shown = run("--help", command=command)
    assert shown.returncode == 0
    for word in ("play", "export", "--model", "--db"):
        assert word in shown.stdout


def sentence(*arguments):
    """The one line that a command fails with."""
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("fate: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_export_without_a_database_is_told(tmp_path):
    assert "There is no database" in sentence("export", str(tmp_path / "out"), "--db", str(tmp_path / "no.db"))
    assert not (tmp_path / "no.db").exists()


def test_export_of_something_else_is_told(tmp_path):
    (tmp_path / "x.db").write_text("not a database, but long enough to be looked at " * 30)
    assert "is not a fate database" in sentence("export", str(tmp_path / "out"), "--db", str(tmp_path / "x.db"))


@pytest.mark.parametrize("before", [True, False])
def test_a_flag_counts_before_the_command_and_after_it(tmp_path, before):
    flag, command = ("--db", str(tmp_path / "no.db")), ("export", str(tmp_path / "out"))
    assert str(tmp_path / "no.db") in sentence(*(flag + command if before else command + flag))


def test_an_environment_that_cannot_be_read_is_told(monkeypatch):
    monkeypatch.setenv("FATE_RANGES", "none")
    assert "The environment (FATE_" in sentence()


def test_an_empty_opening_is_told():
    assert "The opening is empty" in sentence("play", "  ")


def test_a_bad_setting_is_told_with_its_name_and_value(fate_home: Path):
    fate_home.mkdir()
    config = fate_home / "config.toml"
    for text, expected in (
        ("context = 5", "The setting context = 5 cannot be used"),
        ("contxt = 500", "The setting contxt"),
        ("[ranges]\ntemperature = [2, 1]", "temperature must be a range from low to high"),
        ("[ranges.fixed]\nmuse_mode = 'loud'", "muse_mode must be one of"),
        ("[ranges.fixed]\nmax_new_tokens = 600", "leaves no room for a story"),
        ("[ranges.fixed]\nmax_new_tokens = 50.5", "max_new_tokens must be a whole number"),
        ("[ranges.fixed]\ntemperature = 1", "temperature is drawn"),
        ("model = ", "config.toml could not be read"),
    ):
        config.write_text(text)
        assert expected in sentence()
