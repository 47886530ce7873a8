import pytest

from fate.config import ConfigError, read_config
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


def test_a_nested_setting_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("FATE_RANGES__COUPLING", "0.25")
    assert read_config().ranges.settings_ranges().coupling == 0.25


def test_an_unknown_setting_in_the_environment_names_where_it_came_from(monkeypatch):
    monkeypatch.setenv("FATE_CONTEXT", "many")
    with pytest.raises(ConfigError, match=r"context = 'many'.*FATE_CONTEXT"):
        read_config()
