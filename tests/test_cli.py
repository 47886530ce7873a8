import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import fate
from fate.store import Store
from fate.store.backup import back_up
from tests.command import run
from tests.dataset.playing import play
from tests.terminal import FATE


def process(*arguments, command=(FATE,)):
    return subprocess.run([*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


@pytest.mark.parametrize("command", [(FATE,), (sys.executable, "-m", "fate")])
def test_version_and_help_answer(command):
    assert process("--version", command=command).stdout == f"fate {fate.__version__}\n"
    shown = process("--help", command=command)
    assert shown.returncode == 0
    for word in ("play", "export", "--model", "--db"):
        assert word in shown.stdout


def sentence(*arguments):
    """The one line that a command fails with."""
    done = run(*arguments)
    assert done.returncode == 1
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


@pytest.fixture
def played(tmp_path):
    store = Store(tmp_path / "played.db")
    play(store, "12r3")
    play(store, "1", opening="Write to ann@example.org.")
    store.close()
    return str(tmp_path / "played.db")


def test_export_prints_what_it_wrote_and_no_bar_in_a_pipe(played, tmp_path):
    done = run("export", str(tmp_path / "out"), "--config", "pairs", "--format", "jsonl", "--db", played)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'out'}: 8 pairs",
        "Personal data: 1 e-mail addresses, 0 phone numbers, 0 handles.",
        "Repeated texts: 12 of 15 word for word, 0 more nearly "
        "(with an earlier text they share 70% of their sequences of 3 words).",
    ]
    assert len((tmp_path / "out" / "pairs" / "train.jsonl").read_text().splitlines()) == 8


def test_what_holds_personal_data_is_not_uploaded_by_chance(played, tmp_path):
    told = sentence("export", str(tmp_path / "out"), "--push", "me/stories", "--db", played)
    assert "personal data were found" in told
    assert "--redact or --as-is" in told


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--config", "pears"), ("--format", "xml"), ("--annotator", "Nobody")),
        *(("--since", "soon"), ("--since", "0001-01-01"), ("--since", "")),
    ],
)
def test_an_option_that_cannot_be_is_one_sentence(played, tmp_path, option, value):
    assert value in sentence("export", str(tmp_path / "out"), option, value, "--db", played)
    assert not (tmp_path / "out").exists()


def test_import_says_what_came_and_comes_once(played, tmp_path):
    new = str(tmp_path / "new.db")
    first = run("import", played, "--db", new)
    assert first.stdout == f"{played}: 5 choices, 15 candidates, 5 decisions added, 0 choices were here already\n"
    again = run("import", played, "--db", new)
    assert again.stdout == f"{played}: 0 choices, 0 candidates, 0 decisions added, 5 choices were here already\n"
    assert (first.returncode, again.returncode) == (0, 0)


def test_stats_of_a_short_history_are_counts(played):
    done = run("stats", "--db", played)
    assert done.returncode == 0, done.stderr
    assert "2 stories, 5 choices, 15 candidates" in done.stdout
    assert "decisions: chosen 4, none_good 1; by reader 5" in done.stdout
    assert "agreement between annotators: not enough data (0)" in done.stdout
    assert "liked in a text: not enough data" in done.stdout


def test_a_name_that_came_with_somebodys_data_cannot_steer_the_terminal(tmp_path):
    store = Store(tmp_path / "named.db")
    play(store, "1", annotator="\x1b[2J")
    store.close()
    named = str(tmp_path / "named.db")
    assert "by ␛[2J 1" in run("stats", "--db", named).stdout
    assert "some by ␛[2J." in sentence("export", str(tmp_path / "out"), "--annotator", "Ann", "--db", named)


def test_check_exits_with_1_where_a_row_is_wrong(played):
    sound = run("check", "--db", played)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert "5 choices looked at, 0 problems" in sound.stdout
    assert "5 choices are of another tokenizer" in sound.stdout
    with sqlite3.connect(played) as db:
        db.execute("UPDATE candidate SET kept = 999 WHERE id = (SELECT max(id) FROM candidate)")
    wrong = run("check", "--db", played)
    assert wrong.returncode == 1
    assert "999 tokens kept" in wrong.stdout


def test_restore_puts_the_newest_copy_back(played):
    assert "There is no copy of" in sentence("restore", "--db", played)
    back_up(Path(played))
    assert "was left as it is, because it is sound" in sentence("restore", "--db", played)
    Path(played).write_bytes(b"spilled coffee" * 1000)
    assert f"`fate restore --db {played}` puts the copy" in sentence("stats", "--db", played)
    assert "is played.db." in run("restore", "--db", played).stdout
    assert "5 choices" in run("stats", "--db", played).stdout


def test_judging_without_answers_changes_nothing(played):
    done = process("judge", "--db", played)
    assert done.returncode == 0, done.stderr
    assert "by reader 5" in run("stats", "--db", played).stdout


@pytest.fixture
def cache(tiny_folders, tmp_path, monkeypatch):
    """A local cache of the hub with three models, one of them with pickled weights and one that is no causal LM."""

    def add(name, folder):
        repository = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        return Path(shutil.copytree(folder, repository / "snapshots" / ("0" * 40)))

    (add("someone/tiny", tiny_folders["llama"]) / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    pickled = add("bigscience/bloom-560m", tiny_folders["bloom"])
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (add("someone/half", tiny_folders["gpt2"]) / "model.safetensors").unlink()
    other = add("someone/bert", tiny_folders["gpt2"]) / "config.json"
    other.write_text(other.read_text().replace("GPT2LMHeadModel", "BertModel"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def test_models_lists_what_is_embedded_cached_and_worth_a_download(cache):
    done = process("models")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    shelves = [shelf.splitlines() for shelf in done.stdout.split("\n\n")]
    embedded, here, hub, _ = shelves
    assert embedded[1].startswith("  Llama-Fate ")
    assert [line.split()[0] for line in here[1::3]] == ["bigscience/bloom-560m", "someone/tiny"]
    assert here[2] == "    no licence stated; many languages; the original game's; needs --allow-pickle"
    assert here[5] == "    cc0-1.0"
    names = [line.split()[0] for line in hub[1::3]]
    assert "togethercomputer/RedPajama-INCITE-Chat-3B-v1" in names
    assert "bigscience/bloom-560m" not in names  # it is here


def test_models_for_scripts_is_json_in_bytes(cache, tiny_folders):
    listed = json.loads(process("models", "--json").stdout)
    models = {model["name"]: model for model in listed["models"]}
    tiny = models["someone/tiny"]
    assert (tiny["where"], tiny["license"], tiny["needs_allow_pickle"]) == ("cache", "cc0-1.0", False)
    assert tiny["on_disk"] > (tiny_folders["llama"] / "model.safetensors").stat().st_size
    assert set(tiny["memory"]) == {"float32", "bfloat16"}  # it is too small for others to be worth their while
    needs = models["openai-community/gpt2"]["memory"]
    assert needs["int8"] < needs["float16"] < needs["float32"]
    assert models["bigscience/bloom-560m"]["needs_allow_pickle"]
    assert {model["where"] for model in listed["models"]} == {"embedded", "cache", "hub"}
    assert all(model["on_disk"] is None for model in listed["models"] if model["where"] == "hub")


def test_a_precision_and_a_device_that_cannot_be_are_told():
    assert "The setting precision = 'int3'" in sentence("play", "Once.", "--plain", "--precision", "int3")
    assert "The setting device = 'tpu'" in sentence("--device", "tpu", "play", "Once.", "--plain")


@pytest.mark.parametrize("db", ["x" * 300, ":memory:", "."])
@pytest.mark.parametrize("command", ["stats", "judge", "check"])
def test_a_database_that_cannot_be_is_one_sentence(db, command, tmp_path):
    sentence(command, "--db", db)


def test_check_needs_no_model_to_look_at_all_but_the_spelling(played):
    done = run("check", "--model", "no/such", "--db", played)
    assert done.returncode == 0, done.stderr
    assert "5 choices looked at, 0 problems" in done.stdout


def test_bytes_that_are_no_text_can_be_typed(tiny_folders, tmp_path):
    command = [FATE, "play", "Once.", "--plain", "--model", str(tiny_folders["llama"]), "--db", str(tmp_path / "f.db")]
    done = subprocess.run(command, input=b"w\nCaf\xe9 \xff.\nq\n", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Kept" in done.stdout
