"""Prepared training images in one memory-mapped array, so that an epoch reads no JPEG twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.progress import track

from retrieval import preprocess
from retrieval.data.manifest import ImageRow
from retrieval.errors import ManifestInvalid


def prepared_images(rows: Sequence[ImageRow], folder: Path, quiet: bool = False) -> npt.NDArray[np.uint8]:
    """Prepare the images of `rows`, or map them from an earlier run over the same files and preparation.

    Args:
        rows: n images.
        folder: where the cache lives; made if absent.
        quiet: show no progress bar.

    Returns:
        uint8 (n, 320, 320), mapped read-only.

    Raises:
        ManifestInvalid: an image cannot be read.
    """
    size = preprocess.PREPARED_SIZE
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"prepared-{_fingerprint(rows)}.npy"
    if not target.exists():
        partial = target.with_suffix(".partial.npy")
        shape = (len(rows), size, size)
        written = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        for index, row in enumerate(track(rows, description="preparing images", disable=quiet)):
            written[index] = preprocess.prepare(read_gray(row.path))
        written.flush()
        partial.rename(target)
    mapped: npt.NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return mapped


def read_gray(path: Path) -> npt.NDArray[np.uint8]:
    """Read a JPEG or PNG as grey uint8 (H, W).

    Raises:
        ManifestInvalid: the file is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ManifestInvalid(f"{path} is missing or no readable image.")
    return np.asarray(image, dtype=np.uint8)


def _fingerprint(rows: Sequence[ImageRow]) -> str:
    digest = hashlib.sha256(Path(preprocess.__file__).read_bytes())
    for row in rows:
        digest.update(f"{row.path}\0".encode())
    return digest.hexdigest()[:16]
