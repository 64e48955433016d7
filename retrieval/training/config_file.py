"""Training configurations as TOML: finding, reading and writing them."""

from __future__ import annotations

import json
import tomllib
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import tomli_w
from pydantic import TypeAdapter, ValidationError

from retrieval.errors import ConfigInvalid
from retrieval.training.config import TrainingConfig

Section = TypeVar("Section")


def load_config(path: Path) -> TrainingConfig:
    """Read a training configuration; `pairs` and a `start` that has an ending (`.safetensors`) lie relative to it.

    Raises:
        ConfigInvalid: unreadable, an unknown key, or a value of the wrong kind or out of range; it names file and key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"The training configuration {path} cannot be read: {error}.") from error
    config = _read(TrainingConfig, {"network": {}, "groups": [], **raw}, f"{path}: ")
    start = _beside(path, config.start) if Path(config.start).suffix else config.start
    return replace(config, start=start, pairs=_beside(path, config.pairs))


def dump_config(config: TrainingConfig) -> str:
    """A configuration as TOML that `load_config` reads back as the same."""
    return tomli_w.dumps(_without_none(asdict(config)))


def _beside(path: Path, name: str) -> str:
    return str(path.parent / name) if name else ""


def _read(kind: type[Section], table: dict[str, Any], where: str) -> Section:
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # called with dataclasses alone
    hints = get_type_hints(kind)
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ConfigInvalid(f"{where}Unknown training option: {', '.join(unknown)}.")
    for name, one in known.items():
        if name not in table and one.default is MISSING and one.default_factory is MISSING:
            raise ConfigInvalid(f"{where}{name} is missing.")
    values = {key: _value(hints[key], value, key, where) for key, value in table.items()}
    try:
        return kind(**values)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"{where}{error}") from error


def _value(hint: Any, value: Any, key: str, where: str) -> Any:
    element = (get_args(hint) or (hint,))[0]
    if is_dataclass(element) and isinstance(element, type) and isinstance(value, dict):
        return _read(element, value, f"{where}[{key}] ")
    if is_dataclass(element) and isinstance(element, type) and isinstance(value, list):
        if not all(isinstance(item, dict) for item in value):
            raise ConfigInvalid(f"{where}{key} must be tables, written [[{key}]].")
        return tuple(_read(element, item, f"{where}[[{key}]] ") for item in value)
    try:
        # As JSON, because only there strict checks take a list for a tuple and a word for an enumeration.
        return TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"]
        raise ConfigInvalid(f"{where}{key} cannot be {value!r}: {said[0].lower()}{said[1:]}.") from error


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            kept[key] = _without_none(value)
        elif isinstance(value, tuple):
            kept[key] = [_without_none(item) if isinstance(item, dict) else item for item in value]
        elif value is not None:
            kept[key] = str(value) if isinstance(value, str) else value
    return kept
