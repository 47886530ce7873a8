"""Settings of the program: defaults < TOML file < FATE_* environment < flags.

The file is ``config.toml`` in the data folder (see ``paths.home``), for example:

    model = "bigscience/bloom-560m"

    [ranges]
    temperature = [0.6, 1.2]
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from fate import paths
from fate.core.errors import FateError
from fate.core.sampling import PolicyName, SamplerSettings, SettingsRanges

if TYPE_CHECKING:
    import tomlkit


class ConfigError(FateError):
    """Settings that cannot be used."""


class Ranges(BaseModel):
    """What the settings of candidates are drawn from, as (lowest, highest); see SettingsRanges."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    temperature: tuple[float, float] = Field(
        default=SettingsRanges().temperature, description="low keeps to the likely, high surprises"
    )
    top_k: tuple[int, int] = Field(
        default=SettingsRanges().top_k, description="so many of the likeliest words can follow"
    )
    typical_p: tuple[float, float] = Field(
        default=SettingsRanges().typical_p, description="below 1, words that surprise too much or too little go"
    )
    muse_damp: tuple[float, float] = Field(
        default=SettingsRanges().muse_damp, description="what the Muse leaves of the likeliest words' chances"
    )
    coupling: float = Field(
        default=SettingsRanges().coupling,
        description="from 0 to 1: how much a high top_k lowers the highest temperature",
    )
    fixed: dict[str, Any] = Field(default_factory=dict, description="other fields of SamplerSettings")

    def settings_ranges(self, suited: Mapping[str, Any] = MappingProxyType({})) -> SettingsRanges:
        """With what suits a model, see ``Engine``, where ``fixed`` does not say otherwise.

        Raises ConfigError, quoting the value that is out of its range; never because of what suits the model, whose
        lengths are left out where they do not go with ``fixed``. A longest length that is below the usual shortest is
        the shortest, too.
        """
        values = self.model_dump()
        fixed = values.pop("fixed")
        if drawn := sorted(set(values) & set(fixed)):
            raise ConfigError(f"In ranges, {drawn[0]} is drawn, so it cannot stand under fixed.")
        no_lengths = {name: value for name, value in suited.items() if not name.endswith("new_tokens")}
        short = {"min_new_tokens": fixed["max_new_tokens"]} if "max_new_tokens" in fixed else {}
        try:
            ranges = SettingsRanges(**values)
            for fitting in (suited, no_lengths, no_lengths | short, short):
                with contextlib.suppress(TypeError, ValueError):
                    return replace(ranges, fixed=SamplerSettings(**{**fitting, **fixed}))
            return replace(ranges, fixed=SamplerSettings(**fixed))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"In ranges, {error}.") from error


class Config(BaseSettings):
    """Every setting, with its default."""

    model_config = SettingsConfigDict(
        env_prefix="FATE_", env_nested_delimiter="__", extra="forbid", validate_assignment=True
    )

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
    policy: PolicyName = Field(
        default="uniform",
        description="how candidates' settings are drawn: uniform, or learned, which has more of what readers preferred",
    )
    annotator: str = Field(default="reader", min_length=1, description="the name decisions are published under")
    look_ahead: bool = Field(default=True, description="write on while you read, but not on battery")
    blind: bool = Field(default=True, description="hide how candidates were sampled until they are asked about")
    reasons: bool = Field(default=False, description="ask why, after a choice; one key answers, and nobody has to")
    theme: str = Field(default="", description="a theme's name; without one, the theme that was last picked")
    keymap: dict[str, str] = Field(default_factory=dict, description="other keys: writing.reroll=n and so on")
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

    _told: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def told(self) -> Mapping[str, str]:
        """The settings that the file cannot change, each with the flag or variable that it comes from."""
        return self._told

    def changed(self, name: str, value: Any) -> Config:
        """The same with another value of one setting, as in ``ranges.top_k``. Raises ConfigError, saying why not."""
        new = self.model_copy(deep=True)
        *above, last = name.split(".")
        try:
            setattr(new.ranges if above else new, last, value)
        except ValidationError as error:
            raise ConfigError(_why(error)) from error
        _check_together(new)
        return new

    def value(self, name: str) -> Any:
        """A setting by its name, as in ``ranges.top_k``."""
        *above, last = name.split(".")
        return getattr(self.ranges if above else self, last)

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


_WHY = {
    "extra_forbidden": "there is no such setting",
    "float_parsing": "it must be a number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "bool_parsing": "it must be true or false",
}


def _why(error: ValidationError) -> str:
    first = error.errors()[0]
    return _WHY.get(first["type"], first["msg"].lower())


def config_file() -> Path:
    return paths.home() / "config.toml"


def read_config(**flags: Any) -> Config:
    """The settings in force; flags that are None were not given. Raises ConfigError."""
    try:
        config = Config(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The setting {name} = {first['input']!r} cannot be used: {_why(error)} "
            f"(it comes from a flag, FATE_{name.upper().replace('.', '__')} or {config_file()})."
        ) from error
    except (OSError, ValueError) as error:
        where = "The environment (FATE_…)" if isinstance(error, SettingsError) else str(config_file())
        raise ConfigError(f"{where} could not be read: {error}.") from error
    _check_together(config)
    config._told = _told(flags)
    return config


def _check_together(config: Config) -> None:
    """Raises ConfigError for values that are good by themselves."""
    longest = config.ranges.settings_ranges().fixed.max_new_tokens
    if config.context < 2 * longest:
        raise ConfigError(
            f"The setting context = {config.context} leaves no room for a story beside max_new_tokens = {longest}; "
            "make it at least twice as large."
        )


def _told(flags: Mapping[str, Any]) -> dict[str, str]:
    told = {}
    for name, value in EnvSettingsSource(Config)().items():
        inner = value if name == "ranges" and isinstance(value, dict) else None
        for full in [f"ranges.{part}" for part in inner] if inner is not None else [name]:
            variable = f"FATE_{full.upper().replace('.', '__')}"
            told[full] = variable if variable in map(str.upper, os.environ) else f"FATE_{name.upper()}"
    return told | {name: f"--{name.replace('_', '-')}" for name, value in flags.items() if value is not None}


def save(name: str, value: Any) -> None:
    """Write one setting into the file, in whose other lines nothing changes, comments included; None takes it out.

    Raises ConfigError; the file is then as it was.
    """
    import tomlkit  # here, because most commands change no settings
    from tomlkit.exceptions import TOMLKitError

    file = config_file().resolve()  # which may be a link to where the reader keeps such files
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        document = tomlkit.parse(file.read_bytes() if file.exists() else b"")
        _put(document, name, value)
        part = file.with_name(f"{file.name}.part")
        part.write_bytes(tomlkit.dumps(document).encode())
        if file.exists():
            shutil.copymode(file, part)
        os.replace(part, file)
    except OSError as error:
        raise ConfigError(f"{file} could not be written: {error.strerror}.") from error
    except (TOMLKitError, ValueError) as error:
        raise ConfigError(f"{file} could not be read: {error}.") from error


def _put(document: tomlkit.TOMLDocument, name: str, value: Any) -> None:
    import tomlkit
    from tomlkit.items import AoT, Array, Table

    *above, last = name.split(".")
    place: Any = document
    for part in above:
        if part not in place:
            place[part] = tomlkit.table()
        place = place[part]
    old = place.get(last)
    if value is None:
        place.pop(last, None)
    elif isinstance(old, Array) and len(old) == len(value):
        for number, item in enumerate(value):  # one by one, because there may be comments between them
            old[number] = item
    elif isinstance(old, Table):
        for key in old.keys() - value.keys():
            del old[key]
        old.update(value)
    else:
        item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
        if isinstance(value, dict):
            item = tomlkit.inline_table()
            item.update(value)
        plain = [key for key, item_ in document.body if key is not None and not isinstance(item_, Table | AoT)]
        if place is document and old is None and plain:
            # Not where the tables begin, since the comment that stands there is theirs.
            document._insert_after(plain[-1], tomlkit.key(last), item)
        else:
            place[last] = item
