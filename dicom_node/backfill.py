"""Taking in DICOM files that lie on a disk already, with the checks of the listener; stops and goes on anywhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from archive.database import Database
from archive.models import BackfilledFile
from config.broker import celery_app
from config.paths import DataDir
from config.settings import Settings
from dicom_node.announcer import Announcer
from dicom_node.discretion import keep_values_private
from dicom_node.header import HeaderUnreadable, read_file_meta, read_header
from dicom_node.services import STORAGE_CLASSES, TRANSFER_SYNTAXES
from dicom_node.spool import Spool
from dicom_node.status import StoreStatus
from dicom_node.storage import Answer, Storage

_MIB = 1 << 20
_ANNOUNCE_SECONDS = 10.0
# Files after which the list of those done is written; a crash costs looking at so many again.
_NOTE_EVERY = 50


@dataclass(frozen=True)
class Imported:
    """What became of one file; `answer` is None for one that an earlier run has dealt with."""

    path: Path
    answer: Answer | None


def dicom_files(paths: Iterable[Path]) -> list[Path]:
    """All files at or below the paths, each once and in order; hidden ones and folders that are links are left out."""
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            for root, folders, names in os.walk(path):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found.update(Path(root, name).resolve() for name in names if not name.startswith("."))
        else:
            found.add(path.resolve())
    return sorted(found)


def backfill(settings: Settings, folder: DataDir, database: Database, files: Iterable[Path]) -> Iterator[Imported]:
    """Take files in, one for each step of the iterator.

    A file is stored exactly as if a peer had sent it, except that one that cannot be read stays where it is and is not
    copied to the quarantine. What was dealt with before and has not changed since is passed over; what failed for want
    of space or database is tried again.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the list of files done cannot be read or written.
    """
    keep_values_private()
    announcer = Announcer(celery_app(settings, folder))
    importer = Importer(
        Storage(settings, folder, database, announcer.announce), Spool(folder, settings.dicom.min_free_mib * _MIB)
    )
    announcer.start()
    done: list[BackfilledFile] = []
    try:
        for path in files:
            entry = _entry(path)
            if entry is not None and _is_done(database, entry):
                yield Imported(path, None)
                continue
            answer = importer.take(path)
            if entry is not None and answer.status is not StoreStatus.OUT_OF_RESOURCES:
                entry.status = int(answer.status)
                done.append(entry)
            if len(done) >= _NOTE_EVERY:
                _note(database, done)
            yield Imported(path, answer)
    finally:
        _note(database, done)
        announcer.stop(_ANNOUNCE_SECONDS)


class Importer:
    """Takes in files one by one, as if a peer had sent them, except that an unreadable one is not quarantined."""

    def __init__(self, storage: Storage, spool: Spool) -> None:
        self._storage = storage
        self._spool = spool

    def take(self, path: Path) -> Answer:
        """Store one file."""
        try:
            header = read_header(path)
            if header.sop_class_uid not in STORAGE_CLASSES:
                return Answer(StoreStatus.CLASS_NOT_SUPPORTED, "no radiograph: its SOP class is not accepted")
            if header.transfer_syntax_uid not in TRANSFER_SYNTAXES:
                return Answer(StoreStatus.CLASS_NOT_SUPPORTED, "its transfer syntax is not accepted")
            with (
                self._spool.open(header.sop_class_uid, header.sop_instance_uid, header.transfer_syntax_uid) as incoming,
                path.open("rb") as file,
            ):
                read_file_meta(file)
                while piece := file.read(_MIB):
                    incoming.write(piece)
                return self._storage.take(incoming, None)
        except HeaderUnreadable as error:
            return Answer(StoreStatus.UNREADABLE, error.reason)
        except OSError as error:
            return Answer(StoreStatus.OUT_OF_RESOURCES, f"it cannot be read ({type(error).__name__})")


def _entry(path: Path) -> BackfilledFile | None:
    try:
        found = path.stat()
    except OSError:
        return None
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return BackfilledFile(path_sha256=digest, size=found.st_size, modified_ns=found.st_mtime_ns, status=0)


def _is_done(database: Database, entry: BackfilledFile) -> bool:
    with database.read() as session:
        known = session.get(BackfilledFile, entry.path_sha256)
        return known is not None and (known.size, known.modified_ns) == (entry.size, entry.modified_ns)


def _note(database: Database, done: list[BackfilledFile]) -> None:
    if not done:
        return
    with database.write() as session:
        for entry in done:
            session.merge(entry)
    done.clear()
