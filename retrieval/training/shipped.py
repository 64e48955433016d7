"""The training configurations that come with the product, found by name."""

from __future__ import annotations

from pathlib import Path

from retrieval.errors import ConfigInvalid

_FOLDER = Path(__file__).parent / "configs"


def shipped_configs() -> dict[str, str]:
    """Names of the shipped configurations, each with the sentence its file begins with, sorted."""
    found = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        with path.open(encoding="utf-8") as stream:
            found[path.stem] = stream.readline().removeprefix("#").strip()
    return found


def find_config(name_or_path: str) -> Path:
    """The file of a configuration: a path, or the name of a shipped one.

    Raises:
        ConfigInvalid: neither; the names are listed.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = _FOLDER / f"{name_or_path}.toml"
    if name_or_path in shipped_configs():
        return shipped
    names = ", ".join(shipped_configs())
    raise ConfigInvalid(f"There is no training configuration {name_or_path!r}: no such file, and none of {names}.")
