"""Where options come from: the shipped option file, the site's file, the environment, the command line."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigurationError
from config.settings.system import Settings

ENV_PREFIX = "LUNGPRINT_"
# Variables with the prefix that select the system or a test's data and are no options.
NOT_OPTIONS = frozenset({"LUNGPRINT_DATA_DIR", "LUNGPRINT_SHARED"})


def shipped_options() -> str:
    """The text of the commented option file that ships with the package."""
    return resources.files("config").joinpath("lungprint.toml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Layer:
    """Options from one origin: {section: {option: value}} as read, not yet checked."""

    origin: str
    options: Mapping[str, Any]


def option_layers(
    data_dir: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Layer, ...]:
    """Where options come from, a later layer before an earlier one; the first holds every option's default.

    Args:
        data_dir: the data folder; its `lungprint.toml` is read when it exists.
        environ: variables to read, by default those of the process.
        flags: {section: {option: value}} given on the command line; None values are left out.

    Raises:
        ConfigurationError: a file or variable is not usable; the text names it and says what is expected.
    """
    defaults: dict[str, dict[str, Any]] = tomllib.loads(shipped_options())
    layers = [Layer("the defaults", defaults)]
    site_file = data_dir / "lungprint.toml"
    if site_file.exists():
        layers.append(Layer(str(site_file), _read_site_file(site_file)))
    layers.append(Layer("the environment", _from_environment(defaults, os.environ if environ is None else environ)))
    given = {s: {k: v for k, v in o.items() if v is not None} for s, o in (flags or {}).items()}
    layers.append(Layer("the command line", given))
    return tuple(layers)


def load_settings(
    data_dir: Path,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Settings of the system in `data_dir`: shipped defaults, then its file, then the environment, then flags.

    Arguments as for `option_layers`.

    Raises:
        ConfigurationError: a file, variable or flag is not usable; the text names it and says what is expected.
    """
    layers = option_layers(data_dir, environ, flags)
    options = {section: dict(values) for section, values in layers[0].options.items()}
    for layer in layers[1:]:
        _overlay(options, layer.options, layer.origin)
    try:
        return Settings.model_validate(options)
    except ValidationError as error:
        raise ConfigurationError(_what_is_wrong(error)) from error


def _what_is_wrong(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence; whole sections are not quoted, they may hold passwords."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"Option {where} is missing."
    if isinstance(first["input"], Mapping):
        return f"The options{' ' + where if where else ''} do not go together: {text}."
    return f"Option {where} has the value {first['input']!r}, which is not usable: {text}."


def _read_site_file(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"The option file {path} cannot be read: {error}.") from error


def _overlay(options: dict[str, dict[str, Any]], given: Mapping[str, Any], origin: str) -> None:
    for section, values in given.items():
        if section not in options:
            raise ConfigurationError(f"There is no section [{section}] in the options; it was given in {origin}.")
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"[{section}] in {origin} must be a section with options in it.")
        for name, value in values.items():
            if name not in options[section]:
                raise ConfigurationError(f"There is no option {section}.{name}; it was given in {origin}.")
            options[section][name] = value


def _from_environment(
    options: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    given: dict[str, dict[str, Any]] = {}
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in NOT_OPTIONS:
            continue
        section, _, name = variable.removeprefix(ENV_PREFIX).lower().partition("_")
        if section not in options or name not in options[section]:
            raise ConfigurationError(
                f"The environment variable {variable} names no option; see `lungprint config show`."
            )
        given.setdefault(section, {})[name] = _parse(text, options[section][name], variable)
    return given


def _parse(text: str, default: Any, variable: str) -> Any:
    """Give a variable's text the type of the option's default; validation proper happens afterwards."""
    if isinstance(default, str):
        return text
    try:
        return json.loads(text.lower() if isinstance(default, bool) else text)
    except json.JSONDecodeError as error:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "a JSON list")
        raise ConfigurationError(
            f"The environment variable {variable} has the value {text!r}; expected {kind}."
        ) from error
