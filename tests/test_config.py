import pytest

from fate.config import ConfigError, config_file, read_config, save
from fate.core.sampling import SettingsRanges
from fate.paths import storyteller


def test_the_defaults_need_no_file(fate_home):
    config = read_config()
    assert config.model == str(storyteller())
    assert config.db == str(fate_home / "fate.db")
    assert config.ranges.settings_ranges() == SettingsRanges()


def test_flags_win_over_the_environment_and_that_over_the_file(fate_home, monkeypatch):
    fate_home.mkdir()
    (fate_home / "config.toml").write_text('model = "file"\nannotator = "file"\ncontext = 300')
    monkeypatch.setenv("FATE_MODEL", "environment")
    monkeypatch.setenv("FATE_ANNOTATOR", "environment")
    config = read_config(model="flag", db=None)
    assert (config.model, config.annotator, config.context) == ("flag", "environment", 300)


def test_ranges_and_fixed_settings_come_from_the_file(fate_home):
    fate_home.mkdir()
    (fate_home / "config.toml").write_text(
        "[ranges]\ntemperature = [0.7, 0.9]\n[ranges.fixed]\nmax_new_tokens = 80\nmuse_mode = 'margin'"
    )
    ranges = read_config().ranges.settings_ranges()
    assert ranges.temperature == (0.7, 0.9)
    assert ranges.top_k == SettingsRanges().top_k
    assert (ranges.fixed.max_new_tokens, ranges.fixed.muse_mode) == (80, "margin")


@pytest.mark.parametrize(
    ("said", "best_of", "shortest", "longest"),
    [
        ("{}", 6, 10, 40),
        ('{"best_of": 2}', 2, 10, 40),
        ('{"min_new_tokens": 30}', 6, 30, 40),
        ('{"min_new_tokens": 45}', 6, 45, 56),  # which the model's longest does not go with
        ('{"max_new_tokens": 15}', 6, 10, 15),
        ('{"max_new_tokens": 7}', 6, 7, 7),  # which the model's shortest does not go with
    ],
)
def test_what_is_not_drawn_is_as_it_suits_the_model_unless_it_is_set(monkeypatch, said, best_of, shortest, longest):
    monkeypatch.setenv("FATE_RANGES__FIXED", said)
    suited = {"best_of": 6, "min_new_tokens": 10, "max_new_tokens": 40}
    fixed = read_config().ranges.settings_ranges(suited).fixed
    assert (fixed.best_of, fixed.min_new_tokens, fixed.max_new_tokens) == (best_of, shortest, longest)


def test_of_a_model_without_settings_of_its_own_only_the_longest_passage_can_be_set(monkeypatch):
    monkeypatch.setenv("FATE_RANGES__FIXED", '{"max_new_tokens": 15}')
    fixed = read_config().ranges.settings_ranges().fixed
    assert (fixed.min_new_tokens, fixed.max_new_tokens) == (15, 15)


def test_a_nested_setting_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FATE_RANGES__COUPLING", "0.25")
    assert read_config().ranges.settings_ranges().coupling == 0.25


def test_an_unknown_setting_in_the_environment_names_where_it_came_from(monkeypatch):
    monkeypatch.setenv("FATE_CONTEXT", "many")
    with pytest.raises(ConfigError, match=r"context = 'many'.*FATE_CONTEXT"):
        read_config()


def test_a_setting_that_a_flag_or_a_variable_gives_is_known_as_such(monkeypatch):
    monkeypatch.setenv("FATE_CONTEXT", "512")
    monkeypatch.setenv("FATE_RANGES", '{"top_k": [5, 50]}')
    monkeypatch.setenv("FATE_RANGES__COUPLING", "0.25")
    config = read_config(model="here", db=None)
    assert config.told == {
        "model": "--model",
        "context": "FATE_CONTEXT",
        "ranges.top_k": "FATE_RANGES",
        "ranges.coupling": "FATE_RANGES__COUPLING",
    }
    assert config.changed("blind", False).told == config.told


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("context", "many", "a whole number"),
        ("context", "100", "greater than or equal to 128"),
        ("annotator", "", "at least 1 character"),
        ("ranges.top_k", ("8", "x"), "a whole number"),
        ("ranges.temperature", ("1.1", "0.5"), "from low to high"),
        ("ranges.typical_p", ("0.5", "1.5"), "at most 1"),
        ("ranges.coupling", "nan", "between 0 and 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_changes_nothing(name, value, why):
    config = read_config()
    with pytest.raises(ConfigError, match=why):
        config.changed(name, value)
    assert config == read_config()


def test_a_context_is_refused_that_what_is_written_would_fill(fate_home):
    fate_home.mkdir()
    config_file().write_text("[ranges.fixed]\nmax_new_tokens = 80")
    with pytest.raises(ConfigError, match="make it at least twice as large"):
        read_config().changed("context", "150")


MINE = """\
# My settings.
model = "mine"   # a small one
context=1024     # tokens

# How wild it may get.
[ranges]   # low, high
temperature = [
  0.6, # low
  0.9, # high
]
[ranges.fixed]
max_new_tokens = 40
"""


def test_saving_changes_one_value_and_nothing_else_in_the_file(fate_home):
    fate_home.mkdir()
    config_file().write_text(MINE)
    save("context", 512)
    save("ranges.temperature", (0.7, 0.8))
    assert config_file().read_text() == MINE.replace("1024", "512").replace("0.6,", "0.7,").replace("0.9,", "0.8,")


def test_a_setting_that_was_not_in_the_file_joins_its_like(fate_home):
    fate_home.mkdir()
    config_file().write_text(MINE)
    save("blind", False)
    save("keymap", {"writing.reroll": "n"})
    save("ranges.top_k", (5, 50))
    lines = config_file().read_text().splitlines()
    assert lines[3:5] == ["blind = false", 'keymap = {"writing.reroll" = "n"}']
    others = [line for line in lines if line and line not in (*lines[3:5], "top_k = [5, 50]")]
    assert others == [line for line in MINE.splitlines() if line]
    config = read_config()
    assert (config.blind, config.keymap) == (False, {"writing.reroll": "n"})
    assert (config.ranges.top_k, config.ranges.temperature) == ((5, 50), (0.6, 0.9))


@pytest.mark.parametrize("keymap", ['keymap = {"a.b" = "x"} # keys\n', '[keymap]\n# of mine\n"a.b" = "x" # keys\n', ""])
def test_a_keymap_is_replaced_whole_and_taken_out_however_it_stands(fate_home, keymap):
    fate_home.mkdir()
    config_file().write_text(f'theme = "nord"\n{keymap}')
    save("keymap", {"writing.reroll": "n", "writing.tie": "="})
    assert read_config().keymap == {"writing.reroll": "n", "writing.tie": "="}
    save("keymap", None)
    save("theme", None)
    config = read_config()
    assert (config.keymap, config.theme) == ({}, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", 'a "b"'), ("blind", False), ("ranges.coupling", 0.25), ("ranges.top_k", (1, 9)), ("keymap", {"a": "b"})],
)
def test_what_is_saved_where_there_was_no_file_is_read(name, value):
    save(name, value)
    assert read_config().value(name) == value


def test_a_file_that_is_a_link_stays_one_with_its_permissions(fate_home, tmp_path):
    fate_home.mkdir()
    (tmp_path / "dotfiles.toml").write_text("context = 1024\n")
    (tmp_path / "dotfiles.toml").chmod(0o600)
    config_file().symlink_to(tmp_path / "dotfiles.toml")
    save("context", 512)
    assert config_file().is_symlink()
    assert (tmp_path / "dotfiles.toml").read_text() == "context = 512\n"
    assert (tmp_path / "dotfiles.toml").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.glob("*.part")] == []


def test_a_file_that_cannot_be_read_or_written_is_one_sentence_and_stays(fate_home):
    fate_home.mkdir()
    config_file().write_text("context = = 3")
    with pytest.raises(ConfigError, match=r"config\.toml could not be read"):
        save("context", 512)
    assert config_file().read_text() == "context = = 3"
    config_file().unlink()
    config_file().mkdir()
    with pytest.raises(ConfigError, match=r"config\.toml could not be written"):
        save("context", 512)
