"""Prepared training images in one memory-mapped array, so that an epoch reads no JPEG twice."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress

from retrieval import preprocess
from retrieval.data.manifest import ImageRow
from retrieval.data.parallel import parallel_map
from retrieval.errors import CacheNotUsable, ImageNotUsable, ManifestInvalid

# Images after which the work is on the disk and counted as done.
_STEP = 256
_MIB = 1 << 20


def prepared_images(rows: Sequence[ImageRow], folder: Path, quiet: bool = False) -> npt.NDArray[np.uint8]:
    """Prepare the images of `rows`, or map them from an earlier run over the same files and preparation.

    All processors work at it. A run that is stopped or killed is continued by the next one, and of two runs over the
    same images at the same time one waits for the other.

    Args:
        rows: n images.
        folder: where the cache lives; made if absent. It needs n · 100 KiB.
        quiet: show no progress bar.

    Returns:
        uint8 (n, 320, 320), mapped read-only.

    Raises:
        ManifestInvalid: an image cannot be read.
        CacheNotUsable: the folder cannot be written or its disk is too full.
    """
    if not rows:
        return np.empty((0, preprocess.PREPARED_SIZE, preprocess.PREPARED_SIZE), dtype=np.uint8)
    target = folder / f"prepared-{_fingerprint(rows)}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            with _alone(target.with_suffix(".lock")):
                if not target.exists():
                    _prepare_all(rows, target, quiet)
    except OSError as error:
        raise CacheNotUsable(f"The cache in {folder} cannot be written: {error.strerror or error}.") from error
    mapped: npt.NDArray[np.uint8] = np.load(target, mmap_mode="r")
    return mapped


def read_gray(path: Path) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    """Read a JPEG or PNG as grey (H, W): uint8, or float32 in [0, 1] where the file has 16 bits.

    Raises:
        ManifestInvalid: the file is missing or no image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise ManifestInvalid(f"{path} is missing or no readable image.")
    if image.dtype == np.uint16:
        return np.asarray(image, dtype=np.float32) / np.float32(65535)
    return np.asarray(image, dtype=np.uint8)


def _prepare_all(rows: Sequence[ImageRow], target: Path, quiet: bool) -> None:
    partial, count = target.with_suffix(".partial.npy"), target.with_suffix(".done")
    done = _images_done(partial, count)
    images = _reserved(partial, len(rows), done)
    with closing(parallel_map(_prepared, rows[done:])) as prepared, _bar(quiet) as bar:
        task = bar.add_task("preparing images", total=len(rows), completed=done)
        for index, image in enumerate(prepared, done):
            images[index] = image
            bar.advance(task)
            if (index + 1) % _STEP == 0:
                # First the images, then their number: what is counted is on the disk, whatever happens.
                images.flush()
                _note(count, index + 1)
    images.flush()
    partial.rename(target)
    count.unlink(missing_ok=True)


def _bar(quiet: bool) -> Progress:
    return Progress(console=Console(stderr=True), disable=quiet)


def _prepared(row: ImageRow) -> npt.NDArray[np.uint8]:
    try:
        return preprocess.prepare(read_gray(row.path))
    except ImageNotUsable as error:
        raise ManifestInvalid(f"{row.path} cannot be used: {error}") from error


def _images_done(partial: Path, count: Path) -> int:
    """How many images an earlier run has prepared; the two files are those of exactly these images."""
    try:
        return int(count.read_text(encoding="ascii")) if partial.exists() else 0
    except (FileNotFoundError, ValueError):
        return 0


def _reserved(partial: Path, n: int, done: int) -> np.memmap[tuple[int, int, int], np.dtype[np.uint8]]:
    """The array on the disk with all its space taken: a full disk under a mapped file would kill the process."""
    size = preprocess.PREPARED_SIZE
    if done:
        return np.lib.format.open_memmap(partial, mode="r+")
    partial.unlink(missing_ok=True)
    needed, free = n * size * size, shutil.disk_usage(partial.parent).free
    if needed > free:
        raise CacheNotUsable(
            f"{n} prepared images need {needed // _MIB + 1} MiB in {partial.parent}, where {free // _MIB} MiB are "
            "free; make room or name another folder."
        )
    images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(n, size, size))
    if hasattr(os, "posix_fallocate"):
        with partial.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, partial.stat().st_size)
    return images


def _note(count: Path, done: int) -> None:
    partial = count.with_suffix(".counting")
    partial.write_text(str(done), encoding="ascii")
    partial.replace(count)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process works at the same array; the lock ends with its process.

    The file goes when the work is done; whoever still waited for it finds the array complete.
    """
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        lock.unlink(missing_ok=True)


def _fingerprint(rows: Sequence[ImageRow]) -> str:
    digest = hashlib.sha256(Path(preprocess.__file__).read_bytes())
    for row in rows:
        digest.update(f"{row.path}\0".encode())
    return digest.hexdigest()[:16]
