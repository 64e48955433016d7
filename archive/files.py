"""Where the archive keeps its files, and how one gets there so that no crash can lose it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from blake3 import blake3

from config.errors import LungprintError
from config.paths import DataDir

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{64}")


def new_digest() -> blake3:
    """The digest that names a file, to be given the bytes of its data set in order: BLAKE3, 256 bits.

    Collisions cannot be made, as with SHA-256, which takes several times as long even where the processor helps it.
    Source: O'Connor, Aumasson, Neves and Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere", 2020.
    """
    return blake3()


class DigestUnusable(LungprintError):
    """A file was asked for by something that is no digest."""

    def __init__(self) -> None:
        super().__init__("A stored file is named by the 64 hexadecimal digits of its digest.")


class ImageFiles:
    """The DICOM files of one system, each named by the digest of its data set, and their previews.

    A file under its final name is complete and on the disk; files are never changed, and only a purge removes them.
    """

    def __init__(self, folder: DataDir) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """While a file is put in its place and entered: nothing is removed meanwhile. Many may be here at once.

        Raises:
            OSError: the lock cannot be opened.
        """
        with self._locked(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def removing(self) -> Iterator[None]:
        """While files that no row names are removed: none arrives meanwhile; errors as `arriving`."""
        with self._locked(fcntl.LOCK_EX):
            yield

    def remove(self, file_digest: str) -> None:
        """Remove a stored file for good, if it is there; within `removing` alone.

        Raises:
            OSError: it cannot be removed.
        """
        _remove(self.path(file_digest))

    def remove_quarantined(self, name: str) -> None:
        """Remove a refused file, by its name in the quarantine, for good; errors as `remove`."""
        _remove(self._folder.quarantine / Path(name).name)

    def remove_previews(self, instance_ids: Collection[int]) -> None:
        """Remove the previews of images, and those of others that they were laid over; errors as `remove`."""
        wanted = {str(number) for number in instance_ids}
        for path in self._folder.previews.glob("*/*") if wanted else ():
            if wanted.intersection(path.stem.split("-")):
                path.unlink(missing_ok=True)

    def drop_preview(self, instance_id: int) -> None:
        """Remove a preview that shows what its image is not, or not any more; it is made again when somebody wants it.

        One that cannot be removed is logged, as nothing else may wait for a picture for people.
        """
        try:
            self.preview_path(instance_id).unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the preview of image %d cannot be removed: %s", instance_id, error.strerror)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = os.open(self._folder.run / "files.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def prepare(self) -> None:
        """Make the folders that files go to, so that no image has to wait for a new folder to be synced.

        Raises:
            OSError: a folder cannot be made.
        """
        for number in range(256):
            (self._folder.images / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
        _sync(self._folder.images)

    def path(self, file_digest: str) -> Path:
        """Where the file with this digest lies, whether it is there or not.

        Raises:
            DigestUnusable: `file_digest` is not 64 hexadecimal digits.
        """
        return self._folder.images / _checked(file_digest)[:2] / f"{file_digest}.dcm"

    def quarantine_path(self, file_digest: str) -> Path:
        """Where a refused file with this digest lies, whether it is there or not.

        Raises:
            DigestUnusable: `file_digest` is not 64 hexadecimal digits.
        """
        return self._folder.quarantine / f"{_checked(file_digest)}.dcm"

    def preview_path(self, instance_id: int) -> Path:
        """Where the preview of an image lies, whether it is there or not."""
        return self._folder.previews / f"{instance_id % 256:02x}" / f"{instance_id}.jpg"

    def aligned_path(self, first: int, second: int) -> Path:
        """Where the second image's preview, laid over the first's, lies, see `workers.align`; there or not."""
        return self.preview_path(first).with_name(f"{first}-{second}-aligned.png")

    def keep(self, temporary: Path, file_digest: str) -> Path:
        """Move a complete file to its place for good; on return it survives a power failure.

        The order is what makes it safe: the file's bytes are synced, then it is renamed, then the folder that holds
        the new name is synced. A file of that digest that is already there is the same and stays.

        Args:
            temporary: on the file system of the data folder; gone afterwards.

        Returns:
            where the file lies now.

        Raises:
            OSError: no space, no permission or a broken disk; `temporary` may still be there.
        """
        return _move(temporary, self.path(file_digest))

    def set_aside(self, temporary: Path, file_digest: str) -> Path:
        """Move a refused file to the quarantine, as durably as `keep` and with the same errors."""
        return _move(temporary, self.quarantine_path(file_digest))


def _checked(file_digest: str) -> str:
    if not _DIGEST.fullmatch(file_digest):
        raise DigestUnusable
    return file_digest


def _move(temporary: Path, place: Path) -> Path:
    _make_folder(place.parent)
    if place.exists():
        temporary.unlink()
    else:
        _sync(temporary)
        temporary.replace(place)
    _sync(place.parent)
    return place


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        _sync(path.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
