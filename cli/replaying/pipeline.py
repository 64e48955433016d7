"""The system's own pipeline in one process: intake, encoder and match, in the order of the stream."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from archive import gallery
from archive.database import Database, open_database
from archive.files import ImageFiles
from archive.models import Instance
from archive.states import ImageState
from cli.demonstration.filing import instance_uid
from cli.demonstration.run import Delivery
from cli.outcome import InputNotUsable
from config.paths import DataDir, data_dir
from config.settings import Settings, load_settings
from dicom_node.backfill import Importer
from dicom_node.discretion import keep_values_private
from dicom_node.spool import Spool
from dicom_node.storage import Storage
from retrieval.comparison import Comparer
from retrieval.encoder import Encoder, Encodings
from workers import match
from workers.decode_pool import DecodePool
from workers.encode import BatchEncoder
from workers.index_owner import IndexOwner, open_owner

SETTLED = (ImageState.MATCHED, ImageState.UNSUITABLE, ImageState.FAILED)
_MIB = 1 << 20


class RememberingEncoder:
    """An encoder that computes each prepared image once, however many rounds show it again."""

    def __init__(self, encoder: Encoder) -> None:
        self.model_id = encoder.model_id
        self._encoder = encoder
        self._known: dict[bytes, Encodings] = {}

    def encode(self, images: NDArray[np.uint8]) -> Encodings:
        """As `Encoder.encode`."""
        names = [hashlib.sha256(image.tobytes()).digest() for image in images]
        new = {name: row for row, name in enumerate(names) if name not in self._known}
        if new:
            found = self._encoder.encode(images[list(new.values())])
            self._known |= {name: found.chosen([row]) for row, name in enumerate(new)}
        return Encodings.joined([self._known[name] for name in names])


class Pipeline:
    """One data folder with everything that the system does to an image, without network, queue and dashboard.

    Images go through the listener's own intake, the encode worker's batches and the match worker's function, one after
    the other, so the same stream gives the same verdicts.

    Args:
        root: the data folder, made if absent; what it holds already is gone on with.
        options: text of the option file.
    """

    def __init__(self, root: Path, options: str, encoder: RememberingEncoder, decoders: DecodePool) -> None:
        keep_values_private()
        self.folder: DataDir = data_dir(root)
        self.folder.create()
        (self.folder.root / "lungprint.toml").write_text(options, encoding="utf-8")
        self.settings: Settings = load_settings(self.folder.root, environ={})
        self._stack = ExitStack()
        self.database: Database = open_database(self.settings, self.folder)
        self._stack.callback(self.database.close)
        self.database.migrate()
        storage = Storage(self.settings, self.folder, self.database, announce=lambda instance_id: None)
        self._importer = Importer(storage, Spool(self.folder, self.settings.dicom.min_free_mib * _MIB))
        self._encoder = BatchEncoder(
            self.database,
            ImageFiles(self.folder),
            decoders,
            encoder,
            self.settings,
            to_match=lambda instance_id: None,
            to_encode=lambda instance_id: None,
        )
        self._owner: IndexOwner = open_owner(self.database, self.settings, self.folder)
        self._stack.callback(self._owner.close)

    def run(
        self, delivery: Delivery, seen: Callable[[int, match.Examination], None], settled: Callable[[int], None]
    ) -> None:
        """Send a stream through, going on behind what an earlier run has settled.

        Args:
            seen: called with the number of a shot and everything its verdict stands on, before that is written down.
            settled: called with the number of each shot that has its verdict, was set aside or given up.

        Raises:
            InputNotUsable: an image was refused by the intake.
        """
        numbers = {instance_uid(delivery.seed, shot.number): shot.number for shot in delivery.shots}
        ordered, size = list(numbers), self.settings.encoder.batch_size
        for start in range(0, len(ordered), size):
            uids = ordered[start : start + size]
            known = self._states(uids)
            waiting = []
            for uid in uids:
                if uid in known and known[uid][1] in SETTLED:
                    settled(numbers[uid])
                else:
                    waiting.append((numbers[uid], self._take(delivery, numbers[uid])))
            self._encode([instance_id for _, instance_id in waiting])
            for number, instance_id in waiting:
                self._match(number, instance_id, seen)
                settled(number)

    @property
    def comparer(self) -> Comparer:
        """What compares two images of the network at work."""
        return self._owner.network.comparer

    def close(self) -> None:
        """Let go of the data folder."""
        self._stack.close()

    def _states(self, uids: Sequence[str]) -> dict[str, tuple[int, ImageState]]:
        query = select(Instance.sop_instance_uid, Instance.id, Instance.state)
        with self.database.read() as session:
            rows = session.execute(query.where(Instance.sop_instance_uid.in_(uids)))
            return {row.sop_instance_uid: (row.id, row.state) for row in rows}

    def _take(self, delivery: Delivery, number: int) -> int:
        with tempfile.TemporaryDirectory(dir=self.folder.root) as folder:
            file = delivery.write(number, Path(folder))
            answer = self._importer.take(file)
        if answer.registered is None:
            raise InputNotUsable(f"Image {number + 1} of the stream was refused: {answer.reason}.")
        return answer.registered.instance_id

    def _encode(self, instance_ids: Sequence[int]) -> None:
        """Until each image has codes, or was set aside or given up; a slow decoding comes back in a later batch."""
        waiting = list(instance_ids)
        while waiting:
            self._encoder.run(waiting)
            waiting = self._in_state(waiting, ImageState.RECEIVED)

    def _match(self, number: int, instance_id: int, seen: Callable[[int, match.Examination], None]) -> None:
        """Until the image has its verdict, or was given up; nothing for one that was set aside."""
        while self._in_state([instance_id], ImageState.ENCODED):
            with self.database.read() as session:
                probe = gallery.load_probe(session, instance_id)
                if probe is not None:
                    seen(number, match.examine(session, self._owner, self.settings, probe))
            match.match(self._owner, self.database, self.settings, instance_id)

    def _in_state(self, instance_ids: Sequence[int], state: ImageState) -> list[int]:
        query = select(Instance.id).where(Instance.id.in_(instance_ids), Instance.state == state)
        with self.database.read() as session:
            found = set(session.scalars(query))
        return [instance_id for instance_id in instance_ids if instance_id in found]


@contextlib.contextmanager
def opened(root: Path, options: str, encoder: RememberingEncoder, decoders: DecodePool) -> Iterator[Pipeline]:
    """A pipeline that is closed afterwards."""
    pipeline = Pipeline(root, options, encoder, decoders)
    try:
        yield pipeline
    finally:
        pipeline.close()
