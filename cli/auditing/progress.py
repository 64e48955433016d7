"""How far a comparison of everything with everything has come, kept so that it goes on after a crash."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cli.outcome import InputNotUsable
from retrieval.audit.gallery import AuditGallery
from retrieval.audit.pairs import ROWS, Pairs, PairScan

_PLAN = "plan.json"
_PAIR = np.dtype([("first", "<i4"), ("second", "<i4"), ("cosine", "<f4")])


@dataclass(frozen=True)
class Plan:
    """What is compared; the blocks of one plan fit no other.

    Attributes:
        newest: highest image id looked at; images that arrive later wait for the next audit.
        floor: least normalised cosine of a pair, None where nothing is compared.
        digest: SHA-256 of the images' ids and persons, the network, the threshold and the size of a block.
    """

    newest: int
    floor: float | None
    digest: str

    @classmethod
    def of(cls, gallery: AuditGallery, model_id: str, newest: int, floor: float | None) -> Plan:
        """The plan for a gallery."""
        digest = hashlib.sha256(f"{model_id} {floor!r} {ROWS}".encode())
        digest.update(gallery.instance.tobytes())
        digest.update(gallery.person.tobytes())
        return cls(newest, floor, digest.hexdigest())


class Progress:
    """The folder of an audit under way: its plan and each block that is done; holds no patient data.

    A block is written aside, made durable and renamed, so a file that is there is whole, whenever the process ended.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self) -> int | None:
        """The highest image id of the audit under way, None when there is none."""
        plan = self._plan()
        return None if plan is None else plan.newest

    def begin(self, plan: Plan) -> bool:
        """Go on with a plan, or begin it if another one was under way; returns whether it goes on."""
        if self._plan() == plan:
            return True
        self.clear()
        self._write(_PLAN, json.dumps(asdict(plan)).encode())
        return False

    def pairs(self, scan: PairScan) -> Iterator[tuple[int, Pairs]]:
        """All blocks of a scan in order: those that are done from their files, the others computed and kept."""
        for number in range(scan.blocks):
            pairs = self._read(number)
            if pairs is None:
                pairs = scan.block(number)
                rows = np.empty(len(pairs), _PAIR)
                rows["first"], rows["second"], rows["cosine"] = pairs.first, pairs.second, pairs.cosine
                self._write(_name(number), rows.tobytes())
            yield number, pairs

    def clear(self) -> None:
        """Forget the audit under way."""
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _plan(self) -> Plan | None:
        try:
            return Plan(**json.loads((self._folder / _PLAN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            # None, or of another version: what lies there is of no use.
            return None

    def _read(self, number: int) -> Pairs | None:
        path = self._folder / _name(number)
        if not path.exists():
            return None
        rows = np.fromfile(path, _PAIR)
        return Pairs(rows["first"].copy(), rows["second"].copy(), rows["cosine"].copy())

    def _write(self, name: str, content: bytes) -> None:
        unfinished = self._folder / f".{name}"
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._folder / name)
        except OSError as error:
            raise InputNotUsable(f"The audit cannot keep its progress in {self._folder}: {error.strerror}.") from error


def _name(number: int) -> str:
    return f"block-{number:06}.pairs"


@contextmanager
def only_one(folder: Path) -> Iterator[Progress]:
    """The progress of a system's audit, for one process at a time.

    Raises:
        InputNotUsable: another audit of this system is running.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder.parent / "run" / "audit.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputNotUsable("An audit of this system is running already; wait for it, or end it.") from error
        yield Progress(folder)
