"""Settings of the program: defaults < TOML file < FATE_* environment < flags.

The file is ``config.toml`` in the data folder (see ``paths.home``), for example:

    model = "bigscience/bloom-560m"

    [ranges]
    temperature = [0.6, 1.2]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fate import paths
from fate.core.errors import FateError
from fate.core.sampling import SamplerSettings, SettingsRanges


class ConfigError(FateError):
    """Settings that cannot be used."""


class Ranges(BaseModel):
    """What the settings of candidates are drawn from, as (lowest, highest); see SettingsRanges."""

    model_config = ConfigDict(extra="forbid")

    temperature: tuple[float, float] = SettingsRanges().temperature
    top_k: tuple[int, int] = SettingsRanges().top_k
    typical_p: tuple[float, float] = SettingsRanges().typical_p
    muse_damp: tuple[float, float] = SettingsRanges().muse_damp
    coupling: float = SettingsRanges().coupling
    fixed: dict[str, Any] = Field(default_factory=dict, description="other fields of SamplerSettings")

    def settings_ranges(self) -> SettingsRanges:
        """Raises ConfigError, quoting the value that is out of its range."""
        values = self.model_dump()
        if drawn := sorted(set(values) & set(values["fixed"])):
            raise ConfigError(f"In the ranges of the settings: {drawn[0]} is drawn, so it cannot stand under fixed.")
        try:
            return SettingsRanges(**{**values, "fixed": SamplerSettings(**values["fixed"])})
        except (TypeError, ValueError) as error:
            raise ConfigError(f"In the ranges of the settings: {error}.") from error


class Config(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(env_prefix="FATE_", env_nested_delimiter="__", extra="forbid")

    model: str = Field(default_factory=lambda: str(paths.storyteller()), min_length=1, description="folder or hub id")
    db: str = Field(default_factory=lambda: str(paths.home() / "fate.db"), description="file or sqlite:/// URL")
    context: int = Field(default=1024, ge=128, description="most tokens of story and candidate together")
    precision: Literal["auto", "float32", "float16", "bfloat16", "int8"] = Field(
        default="auto", description="of the weights; auto is float32 for small models and 16 bit for others"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="where the model runs")
    chat: Literal["auto", "on", "off"] = Field(
        default="auto", description="whether a model is asked for the story in its chat template, or just goes on"
    )
    allow_pickle: bool = Field(default=False, description="read weights that are not safetensors")
    annotator: str = Field(default="reader", min_length=1, description="the name decisions are published under")
    blind: bool = Field(default=True, description="hide how candidates were sampled until they are asked about")
    theme: str = Field(default="", description="a theme's name; without one, the theme that was last picked")
    keymap: dict[str, str] = Field(default_factory=dict, description="other keys, by the id of a binding")
    ranges: Ranges = Field(default_factory=Ranges)

    def loading(self) -> dict[str, Any]:
        """What ``fate.engine.load`` has to know beside the model's name."""
        return {
            "context": self.context,
            "precision": self.precision,
            "device": self.device,
            "chat": self.chat,
            "pickle": self.allow_pickle,
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def config_file() -> Path:
    return paths.home() / "config.toml"


def read_config(**flags: Any) -> Config:
    """The settings in force; flags that are None were not given. Raises ConfigError."""
    try:
        config = Config(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        why = "there is no such setting" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise ConfigError(
            f"The setting {name} = {first['input']!r} cannot be used: {why} "
            f"(it comes from a flag, FATE_{name.upper().replace('.', '__')} or {config_file()})."
        ) from error
    except (OSError, ValueError) as error:
        where = "The environment (FATE_…)" if isinstance(error, SettingsError) else str(config_file())
        raise ConfigError(f"{where} could not be read: {error}.") from error
    longest = config.ranges.settings_ranges().fixed.max_new_tokens
    if config.context < 2 * longest:
        raise ConfigError(
            f"The setting context = {config.context} leaves no room for a story beside max_new_tokens = {longest}; "
            "make it at least twice as large."
        )
    return config
