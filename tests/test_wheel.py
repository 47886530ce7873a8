import os
import subprocess
import sys
from pathlib import Path

import pytest

import fate

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, installed where there is no checkout; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return site


def python(site, code):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=site.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_needs_no_checkout(site):
    code = """
import fate, fate.paths, fate.openings
from fate.engine import load
print(fate.__file__)
print(fate.paths.storyteller())
print(len(fate.openings.openings()))
print(load(str(fate.paths.storyteller())).info.name)
"""
    package, storyteller, openings, name = python(site, code).splitlines()
    assert package.startswith(str(site))
    assert storyteller.startswith(str(site))
    assert int(openings) >= 24
    assert name == "Llama-Fate"


def test_its_command_answers(site):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, str(site / "bin" / "fate"), "--version"]
    done = subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"fate {fate.__version__}\n"


def test_the_screens_and_the_migrations_travel_with_it(site):
    files = {str(path.relative_to(site)) for path in site.rglob("*")}
    for file in (CHECKOUT / "fate").rglob("*"):
        if file.suffix in (".py", ".tcss", ".c"):
            assert str(file.relative_to(CHECKOUT)) in files
