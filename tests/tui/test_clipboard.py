import base64
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from fate.tui.clipboard import commands, hand_over, passed_on

STORY = "Ein Türchen 🚪 went open.\n" * 40


def taken(text):
    return base64.b64encode(text.encode()).decode()


def test_a_terminal_without_a_multiplexer_needs_nothing_more_than_textual_writes():
    assert passed_on(STORY, {"TERM": "xterm-256color"}) == ""


@pytest.mark.parametrize("environ", [{"TMUX": "/tmp/tmux-1/default,1,0", "TERM": "screen"}, {"TERM": "tmux-256color"}])
def test_tmux_is_asked_to_pass_it_on(environ):
    assert passed_on(STORY, environ) == f"\x1bPtmux;\x1b\x1b]52;c;{taken(STORY)}\a\x1b\\"


@pytest.mark.parametrize("environ", [{"STY": "1.pts-0", "TERM": "xterm"}, {"TERM": "screen-256color"}])
def test_screen_gets_it_in_pieces_that_it_takes(environ):
    pieces = passed_on(STORY, environ).removeprefix("\x1bP").removesuffix("\x1b\\").split("\x1b\\\x1bP")
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 512
    assert "".join(pieces) == f"\x1b]52;c;{taken(STORY)}\a"


@pytest.mark.parametrize(
    ("environ", "platform", "programs"),
    [
        ({}, "linux", []),
        ({}, "darwin", ["pbcopy"]),
        ({"WAYLAND_DISPLAY": "wayland-0", "DISPLAY": ":0"}, "linux", ["wl-copy"]),
        ({"DISPLAY": ":0"}, "linux", ["xclip", "xsel"]),
        ({"WSL_DISTRO_NAME": "Debian"}, "linux", ["clip.exe"]),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "1 2 3 4"}, "linux", []),  # not of the reader's machine
        ({"TMUX": "x", "SSH_CONNECTION": "1 2 3 4"}, "linux", ["tmux"]),
    ],
)
def test_the_programs_are_those_that_reach_the_readers_clipboard(environ, platform, programs):
    assert [command[0] for command in commands(environ, platform)] == programs


@pytest.mark.skipif(sys.platform == "darwin", reason="these programs are of another system")
def test_a_program_gets_the_text_and_one_that_is_missing_or_fails_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "xsel").write_text(f"#!/bin/sh\ncat > {tmp_path}/copied\n(sleep 30) &\n")  # which stays, as xsel does
    (tmp_path / "xclip").write_text("#!/bin/sh\nexit 1\n")
    for program in ("xsel", "xclip"):
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    began = time.monotonic()
    assert hand_over(STORY, {"DISPLAY": ":0"}) == ["xsel"]
    assert time.monotonic() - began < 2
    assert (tmp_path / "copied").read_text() == STORY


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
@pytest.mark.parametrize(
    ("told", "way"),
    [
        ("", "hand_over(text, os.environ)"),
        ("set -g allow-passthrough on", "sys.stdout.write(passed_on(text, os.environ))"),
    ],
)
def test_a_text_comes_through_a_real_tmux_to_the_terminal_outside(tmp_path, told, way):
    text = "An open door."
    code = f"import os, sys, time\nfrom fate.tui.clipboard import *\ntext = {text!r}\n{way}\nsys.stdout.flush()\n"
    (tmp_path / "copy.py").write_text(f"{code}time.sleep(20)\n")
    (tmp_path / "tmux.conf").write_text(told)
    tmux = ["-S", str(tmp_path / "socket")]
    environ = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY")}
    environ |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
    program = f"{sys.executable} {tmp_path / 'copy.py'}"
    terminal = pexpect.spawn("tmux", [*tmux, "-f", str(tmp_path / "tmux.conf"), "new", program], env=environ)
    try:
        terminal.expect(rb"\x1b\]52;c?;" + taken(text).encode(), timeout=20)
    finally:
        subprocess.run(["tmux", *tmux, "kill-server"], capture_output=True, check=False)
        terminal.close(force=True)
