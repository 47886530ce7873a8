import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The wheel, unpacked where there is no checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


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


def test_the_screens_and_the_migrations_travel_with_it(site):
    files = {str(path.relative_to(site)) for path in site.rglob("*")}
    for file in (CHECKOUT / "fate").rglob("*"):
        if file.suffix in (".py", ".tcss"):
            assert str(file.relative_to(CHECKOUT)) in files
