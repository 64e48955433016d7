"""Snapshots of an index: written aside, made durable, read back, renamed; refused unless whole and of this network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from retrieval.errors import SnapshotInvalid
from retrieval.index.base import GalleryIndex

FORMAT = 1
_MANIFEST = "manifest.json"
_PREFIX = "snapshot-"
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Manifest:
    """What a snapshot must contain.

    Attributes:
        kind: of index. model_id: of the network. dim: of its embeddings. count: of ids.
        files: SHA-256 of each file, by name.
    """

    format: int
    kind: str
    model_id: str
    dim: int
    count: int
    files: dict[str, str]


def write_snapshot(index: GalleryIndex, kind: str, model_id: str, folder: Path) -> Path:
    """Write a new snapshot beside the present one, then let go of that; whatever happens, one of them stays whole.

    Args:
        folder: where snapshots are kept; made if missing.

    Returns:
        the snapshot's folder.

    Raises:
        SnapshotInvalid: it could not be written as a whole; nothing has changed.
    """
    present = snapshots(folder)
    number = 1 + max((int(path.name.removeprefix(_PREFIX)) for path in present), default=0)
    unfinished, finished = folder / f"{_UNFINISHED}{number:08}", folder / f"{_PREFIX}{number:08}"
    try:
        for left_behind in folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left_behind)
        unfinished.mkdir(parents=True)
        index.save(unfinished)
        files = {file.name: _digest(file) for file in sorted(unfinished.iterdir())}
        manifest = Manifest(FORMAT, kind, model_id, index.dim, index.count, files)
        (unfinished / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2), encoding="utf-8")
        for path in (*unfinished.iterdir(), unfinished):
            _sync(path)
        _check(unfinished, kind, model_id, index.dim)
        unfinished.rename(finished)
        _sync(folder)
    except OSError as error:
        raise SnapshotInvalid(f"The index snapshot could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    for path in present:
        shutil.rmtree(path, ignore_errors=True)
    return finished


def load_snapshot(index: GalleryIndex, kind: str, model_id: str, snapshot: Path) -> None:
    """Fill an index from a snapshot, after every byte of it was checked.

    Raises:
        SnapshotInvalid: torn, incomplete, or of another network, dimension or kind of index; the text says which.
    """
    manifest = _check(snapshot, kind, model_id, index.dim)
    index.load(snapshot)
    if index.count != manifest.count:
        raise SnapshotInvalid(f"{snapshot.name} holds {index.count} images instead of {manifest.count}.")


def snapshots(folder: Path) -> list[Path]:
    """Finished snapshots, the newest first."""
    found = folder.glob(f"{_PREFIX}*") if folder.is_dir() else iter(())
    return sorted((path for path in found if path.name.removeprefix(_PREFIX).isdigit()), reverse=True)


def discard(snapshot: Path) -> None:
    """Delete a snapshot that cannot be used."""
    shutil.rmtree(snapshot, ignore_errors=True)


def _check(snapshot: Path, kind: str, model_id: str, dim: int) -> Manifest:
    try:
        manifest = Manifest(**json.loads((snapshot / _MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SnapshotInvalid(f"{snapshot.name} has no readable manifest.") from error
    if manifest.format != FORMAT:
        raise SnapshotInvalid(f"{snapshot.name} was written by another version.")
    if (manifest.kind, manifest.model_id, manifest.dim) != (kind, model_id, dim):
        raise SnapshotInvalid(
            f"{snapshot.name} is a {manifest.kind} index of network {manifest.model_id}, not {kind} of {model_id}."
        )
    for name, digest in manifest.files.items():
        path = snapshot / name
        if Path(name).name != name or not path.is_file() or _digest(path) != digest:
            raise SnapshotInvalid(f"{snapshot.name} is damaged: {Path(name).name} is not what was written.")
    return manifest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
