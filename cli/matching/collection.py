"""A collection of images, encoded, with those refused that must not be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cli.encoding import encode_files
from cli.outcome import InputNotUsable
from cli.sources import Source, find_sources
from config.settings import Settings

if TYPE_CHECKING:
    from retrieval.encoder import Encoder


@dataclass(frozen=True)
class Refused:
    """An image that takes no part, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Collection:
    """n images that may be compared.

    Attributes:
        sources: where they came from. refused: those that take no part.
        embedding: float32 (n, dim), of unit length. code: uint8 (n, bits/8).
        righting: what was done to each before, as it is stored turned or inverted; empty for others.
    """

    sources: tuple[Source, ...]
    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    righting: tuple[str, ...]
    refused: tuple[Refused, ...]

    def __len__(self) -> int:
        return len(self.sources)


def encoded(path: Path, encoder: Encoder, settings: Settings, done: Callable[[int, int], None]) -> Collection:
    """Encode what lies behind a path, see `cli.sources.find_sources`.

    Args:
        done: told how many images were read, and of how many.

    Raises:
        InputNotUsable: nothing is there, or no image of it may be compared.
    """
    sources = find_sources(path)
    kept, refused, read = [], [], 0
    for batch in encode_files(sources, encoder, settings):
        for source, found in zip(sources[read:], batch, strict=False):
            if isinstance(found, InputNotUsable):
                refused.append(Refused(source.name, str(found)))
            elif found.unsuitable:
                refused.append(Refused(source.name, f"not suitable: {found.unsuitable}"))
            else:
                kept.append(found)
        read += len(batch)
        done(read, len(sources))
    if not kept:
        why = f"; the first: {refused[0].reason}" if refused else ""
        raise InputNotUsable(f"No image of {path} can be compared{why}")
    return Collection(
        tuple(image.source for image in kept),
        np.stack([image.embedding for image in kept]),
        np.stack([image.code for image in kept]),
        tuple(image.righting for image in kept),
        tuple(refused),
    )
