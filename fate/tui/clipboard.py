"""Copying, wherever the terminal is: on this machine, behind SSH, inside tmux or screen.

OSC 52 asks the terminal itself to take a text (XTerm Control Sequences, "Manipulate Selection Data"). It travels
through SSH like everything that is shown. Inside a multiplexer it may have to be wrapped so as to be passed on:
tmux takes ``ESC P tmux ; … ESC \\`` with every ESC in it doubled, screen ``ESC P … ESC \\`` in short pieces. Newer
versions of tmux pass nothing on unless told; there tmux itself is asked, which may speak to its terminal.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Mapping

_PIECE = 512  # bytes that every screen takes in one string


def passed_on(text: str, environ: Mapping[str, str]) -> str:
    """OSC 52 as the multiplexer that ``environ`` tells of passes it on; nothing where there is none."""
    plain = f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"
    terminal = environ.get("TERM", "")
    if environ.get("TMUX") or terminal.startswith("tmux"):
        doubled = plain.replace("\x1b", "\x1b\x1b")
        return f"\x1bPtmux;{doubled}\x1b\\"
    if environ.get("STY") or terminal.startswith("screen"):
        pieces = (plain[n : n + _PIECE] for n in range(0, len(plain), _PIECE))
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return ""


def commands(environ: Mapping[str, str], platform: str = sys.platform) -> list[list[str]]:
    """Programs that take the text from their standard input, where they can reach the reader's clipboard."""
    found = []
    if environ.get("TMUX"):
        found.append(["tmux", "load-buffer", "-w", "-"])
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return found  # the clipboard of the machine behind SSH is nobody's
    if platform == "darwin":
        found.append(["pbcopy"])
    elif environ.get("WAYLAND_DISPLAY"):
        found.append(["wl-copy"])
    elif environ.get("DISPLAY"):
        found += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    elif environ.get("WSL_DISTRO_NAME"):
        found.append(["clip.exe"])
    return found


def hand_over(text: str, environ: Mapping[str, str]) -> list[str]:
    """Give the text to each of the programs that there are; returns the names of those that took it."""
    took = []
    for command in commands(environ):
        try:
            # Some stay behind to hold the text; a pipe of theirs would keep us waiting.
            subprocess.run(
                command,
                input=text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=2,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        took.append(command[0])
    return took
