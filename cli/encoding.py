"""Images from files through the encoder, in batches, with files being read while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cli.outcome import InputNotUsable
from cli.sources import Source, read_image
from config.settings import Settings
from dicom_node.pixels import Limits
from retrieval.errors import ImageNotUsable
from retrieval.preprocess import prepare

if TYPE_CHECKING:
    from retrieval.encoder import Encoder

READERS = 4
AHEAD = 64


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image with its codes.

    Attributes:
        source: where it came from.
        embedding: float32 (d,), L2-normalised. code: uint8 (bits/8,).
        unsuitable: why it must not be compared with frontal chest images; empty when it may.
        righting: what was done to it before, as it is stored turned or inverted; empty for others.
    """

    source: Source
    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    unsuitable: str
    righting: str


@dataclass(frozen=True, eq=False)
class _Read:
    source: Source
    prepared: npt.NDArray[np.uint8]
    unsuitable: str


def load_encoder(settings: Settings) -> Encoder:
    """The network that the system in question uses.

    Raises:
        WeightsNotUsable: the option encoder.weights names none.
    """
    # Here, not above: torch takes seconds to import, and `--help` should not.
    from retrieval.encoder import Encoder

    options = settings.encoder
    return Encoder.load(options.weights, options.device, threads=options.threads or None)


def encode_file(source: Source, encoder: Encoder, settings: Settings) -> Encoded:
    """One image, encoded.

    Raises:
        InputNotUsable: it cannot be read.
    """
    return _encode([_read(source, _limits(settings))], encoder)[0]


def encode_files(
    sources: Sequence[Source], encoder: Encoder, settings: Settings
) -> Iterator[list[Encoded | InputNotUsable]]:
    """Encode in the order given; yields batches that hold each image or the error that kept it from being read."""
    remaining = iter(sources)
    waiting: deque[Future[_Read]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        while True:
            while len(waiting) < AHEAD and (source := next(remaining, None)) is not None:
                waiting.append(pool.submit(_read, source, _limits(settings)))
            if not waiting:
                return
            batch = [_outcome(waiting.popleft()) for _ in range(min(settings.encoder.batch_size, len(waiting)))]
            encoded = iter(_encode([read for read in batch if isinstance(read, _Read)], encoder))
            yield [next(encoded) if isinstance(read, _Read) else read for read in batch]


def _outcome(future: Future[_Read]) -> _Read | InputNotUsable:
    try:
        return future.result()
    except InputNotUsable as error:
        return error


def _encode(images: Sequence[_Read], encoder: Encoder) -> list[Encoded]:
    if not images:
        return []
    found = encoder.encode(np.stack([image.prepared for image in images]))
    return [
        Encoded(
            image.source,
            found.embedding[i],
            found.code[i],
            image.unsuitable or found.gate.reason[i] or "",
            "" if image.unsuitable else str(found.righting[i] or ""),
        )
        for i, image in enumerate(images)
    ]


def _read(source: Source, limits: Limits) -> _Read:
    picture = read_image(source.path, limits)
    try:
        return _Read(source, prepare(picture.gray), picture.unsuitable)
    except ImageNotUsable as error:
        raise InputNotUsable(f"{source.path} cannot be used: {error}") from error


def _limits(settings: Settings) -> Limits:
    return Limits(max_pixels=settings.decoding.max_pixels)
