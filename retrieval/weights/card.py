"""The card of a weight file: what it is, where it comes from, how it was measured."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.errors import ConfigInvalid, WeightsNotUsable
from retrieval.regional_options import RegionalOptions

DEFAULT_NAME = "lungprint_mobilenet_v2"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """The part of a card that is needed to run the network; sources, recipe and metrics are for the reader.

    Attributes:
        name: of the weight file.
        backbone: torchvision's name.
        embedding_dim, bits, findings: see `AttentionHashNetwork`.
        mean, std: of RGB input in [0, 1], length 3. input_size: side of the square the network works at, pixels.
        regional: the network beside it, None if there is none.
        aligned: whether images are laid onto a mean chest first, see `Atlas`.
    """

    name: str
    backbone: str
    embedding_dim: int
    bits: int
    findings: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int
    regional: RegionalOptions | None = None
    aligned: bool = False

    @property
    def dim(self) -> int:
        """Length of the whole embedding."""
        return self.embedding_dim + (0 if self.regional is None else self.regional.dim)


def find_weights(name_or_path: str | Path) -> Path:
    """Locate a weight file: a shipped one by name (`default` is `DEFAULT_NAME`), or any by path.

    Raises:
        WeightsNotUsable: there is none.
    """
    path = Path(name_or_path)
    name = DEFAULT_NAME if str(name_or_path) == "default" else name_or_path
    for candidate in (path, _FOLDER / f"{name}.safetensors"):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.safetensors"))) or "none"
    raise WeightsNotUsable(
        f"There are no weights {str(name_or_path)!r}; give a file, or one of those shipped: {shipped}."
    )


def model_id_of(weights: Path) -> str:
    """Short digest of a weight file, stored with every code so that codes of different networks are never compared.

    Raises:
        WeightsNotUsable: it cannot be read.
    """
    try:
        with weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise WeightsNotUsable(f"The weight file {weights} cannot be read: {error.strerror}.") from error


def read_card(weights: Path) -> Card:
    """Read the card beside a weight file (same name, ending `.toml`).

    Raises:
        WeightsNotUsable: it is missing or incomplete, or an earlier version's.
    """
    path = weights.with_suffix(".toml")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        network = raw["network"]
        return Card(
            name=str(raw["name"]),
            backbone=str(network["backbone"]),
            embedding_dim=int(network["embedding_dim"]),
            bits=int(network["bits"]),
            findings=tuple(network["findings"]),
            mean=tuple(network["mean"]),
            std=tuple(network["std"]),
            input_size=int(network["input_size"]),
            regional=_regional(raw["regional"]) if "regional" in raw else None,
            aligned=bool(network.get("aligned", False)),
        )
    except OSError as error:
        raise WeightsNotUsable(f"The weight file {weights} has no card {path.name} beside it.") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, ConfigInvalid) as error:
        raise WeightsNotUsable(f"The card {path} cannot be used: {error}.") from error


def _regional(table: dict[str, Any]) -> RegionalOptions:
    if not isinstance(table["stages"], list):
        raise ConfigInvalid(
            "it was written by an earlier version, before both networks saw the mean chest; train it anew"
        )
    return RegionalOptions(**{**table, "stages": tuple(table["stages"])})
