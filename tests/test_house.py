"""What is imported when, and that the parts stand where they should."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "textual", "sqlmodel", "sqlalchemy", "pydantic", "numpy")


def modules_after(code):
    """The top-level modules that a fresh interpreter has imported after some code."""
    program = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def cli(*arguments):
    return f"""
from fate import cli
try:
    cli.app({list(arguments)!r})
except SystemExit as end:
    assert not end.code, end.code
"""


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(flag):
    assert not modules_after(cli(flag)) & set(HEAVY)


def test_core_imports_no_third_party():
    imported = modules_after("import fate.core.sampling, fate.core.story, fate.core.choice, fate.core.errors")
    allowed = set(sys.stdlib_module_names) | {"fate", "sitecustomize", "usercustomize", "distutils-precedence"}
    third = {name for name in imported if name not in allowed and not name.startswith("_")}
    assert third <= modules_after("pass")


def test_export_imports_no_torch_and_no_textual(tmp_path):
    setup = f"""
from fate.store import Store
from random import Random
from fate.core.sampling import SettingsRanges
from fate.playthrough import Playthrough
from fate.policy import UniformPolicy
from tests.fakes import FakeEngine
store = Store({str(tmp_path / "fate.db")!r})
list(Playthrough(store, FakeEngine(), UniformPolicy(SettingsRanges()), store.new_story("Once.")).offer())
store.close()
"""
    imported = modules_after(setup + cli("export", str(tmp_path / "out"), "--db", str(tmp_path / "fate.db")))
    assert not imported & {"torch", "transformers", "textual"}
    assert (tmp_path / "out" / "choices" / "train.parquet").exists()


def test_models_are_listed_without_torch():
    assert not modules_after(cli("models")) & {"torch", "transformers", "textual", "sqlmodel"}


def test_the_screens_are_there_without_torch():
    assert not modules_after("from fate.tui import FateApp") & {"torch", "transformers"}


def test_the_muse_is_a_public_name_that_costs_nothing_until_it_is_used():
    assert "torch" not in modules_after("import fate; fate.__version__")
    assert "torch" in modules_after("from fate import MuseLogitsWarper")


def test_the_storyteller_is_loaded_without_transformers():
    imported = modules_after(
        "from fate.engine import load\nfrom fate.paths import storyteller\nload(str(storyteller()))"
    )
    assert "torch" in imported
    assert not imported & {"transformers", "textual", "sqlmodel"}
