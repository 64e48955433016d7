"""Images from files through the encoder, in batches, with files being read while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from cli.outcome import InputNotUsable
from cli.sources import Source, read_gray
from config.settings import Settings
from dicom_node.pixels import Limits
from retrieval.encoder import Encoder, Encodings
from retrieval.errors import ImageNotUsable
from retrieval.preprocess import prepare

Prepared = npt.NDArray[np.uint8]

READERS = 4
AHEAD = 64


def load_encoder(settings: Settings) -> Encoder:
    """The network that the system in question uses.

    Raises:
        WeightsNotUsable: the option encoder.weights names none.
    """
    options = settings.encoder
    chosen = {} if options.weights == "default" else {"name_or_path": options.weights}
    return Encoder.load(**chosen, device=options.device, threads=options.threads or None)


def encode_file(source: Source, encoder: Encoder, settings: Settings) -> Encodings:
    """One image, encoded.

    Raises:
        InputNotUsable: it cannot be read.
    """
    return encoder.encode(_prepared(source, limits(settings))[np.newaxis])


def encode_files(
    sources: Sequence[Source], encoder: Encoder, settings: Settings
) -> Iterator[tuple[list[tuple[Source, InputNotUsable | None]], Encodings | None]]:
    """Encode in the order given, one batch after the other.

    Yields:
        The sources of a batch, each with the error that kept it from being read or None, and the encodings of those
        that were read, in the same order; None when none was.
    """
    with ThreadPoolExecutor(READERS) as pool:
        waiting: deque[tuple[Source, Future[Prepared]]] = deque()
        remaining = iter(sources)
        batch: list[tuple[Source, InputNotUsable | None]] = []
        images: list[Prepared] = []
        while True:
            while len(waiting) < AHEAD and (source := next(remaining, None)) is not None:
                waiting.append((source, pool.submit(_prepared, source, limits(settings))))
            if not waiting:
                break
            source, future = waiting.popleft()
            try:
                images.append(future.result())
                batch.append((source, None))
            except InputNotUsable as error:
                batch.append((source, error))
            if len(batch) >= settings.encoder.batch_size:
                yield batch, encoder.encode(np.stack(images)) if images else None
                batch, images = [], []
        if batch:
            yield batch, encoder.encode(np.stack(images)) if images else None


def limits(settings: Settings) -> Limits:
    """What an image may claim before it is decoded."""
    return Limits(max_pixels=settings.decoding.max_pixels)


def _prepared(source: Source, bounds: Limits) -> Prepared:
    try:
        return prepare(read_gray(source.path, bounds))
    except ImageNotUsable as error:
        raise InputNotUsable(f"{source.path} cannot be used: {error}") from error
