"""The one owner of the index in memory: loads it, catches up with the database, keeps snapshots, answers searches."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archive import gallery
from archive.changes import changes_since, forget_changes
from archive.database import Database
from archive.exclusive import Exclusive, ExclusivityLost, take
from archive.gallery import Images, Probe
from config.errors import LungprintError
from config.paths import DataDir
from config.settings import IndexOptions, Settings
from retrieval.calibration import Calibration, calibration_beside
from retrieval.comparison import Comparer
from retrieval.errors import CalibrationInvalid, IndexUnavailable, SnapshotInvalid
from retrieval.index import (
    Candidates,
    ExactIndex,
    GalleryIndex,
    HnswIndex,
    HnswOptions,
    LshIndex,
    LshOptions,
    MilvusIndex,
    MilvusOptions,
    Ranked,
    rerank,
)
from retrieval.index.snapshot import discard, load_snapshot, snapshots, write_snapshot
from retrieval.normalisation import Strangers
from retrieval.verification import read_verifier
from retrieval.weights.card import find_weights, model_id_of, read_card
from workers.rows import GalleryRows
from workers.strangers import drawn

logger = logging.getLogger(__name__)

# Images fetched and added in one go while catching up.
BULK = 20_000
# A killed owner's lock is free at once; this is for one that is still writing its last snapshot.
WAIT_SECONDS = 60.0


class IndexOwned(LungprintError):
    """Another process owns the index."""


@dataclass(frozen=True)
class Network:
    """What matching needs to know of the network at work: its id, its sizes, and what its similarities are worth."""

    model_id: str
    dim: int
    bits: int
    comparer: Comparer


def network_at_work(settings: Settings) -> Network:
    """The network that the settings name, without loading it.

    Raises:
        WeightsNotUsable: there are no such weights.
        CalibrationInvalid: its calibration is missing or belongs to other weights.
    """
    weights = find_weights(settings.encoder.weights)
    card, model_id = read_card(weights), model_id_of(weights)
    own = settings.calibration.file
    calibration = Calibration.load(Path(own) if own else calibration_beside(weights))
    if calibration.model_id != model_id:
        raise CalibrationInvalid(
            f"The calibration {own or f'beside {weights}'} belongs to other weights; run `lungprint calibrate`."
        )
    verifier = read_verifier(weights, card.dim)
    return Network(model_id, card.dim, card.bits, Comparer(calibration, verifier))


class IndexOwner:
    """The gallery in memory. Make one with `open_owner`; all its methods may be called from any thread."""

    def __init__(
        self, database: Database, settings: Settings, folder: DataDir, network: Network, ownership: Exclusive
    ) -> None:
        self.network = network
        self.rows = GalleryRows(network.bits // 8)
        self._database = database
        self._options = settings.index
        self._folder = folder
        self._ownership = ownership
        self._lock = threading.RLock()
        self._index: GalleryIndex = make_index(settings.index, network)
        self._since_snapshot = 0
        # The newest change in the database that the index knows of, see `archive.changes`.
        self._known_change = 0
        self._strangers: tuple[int, Strangers] | None = None

    @property
    def index(self) -> GalleryIndex:
        """The index itself."""
        return self._index

    def start(self) -> None:
        """Load the snapshot if it is whole, and make the index equal to what the database says."""
        began = time.monotonic()
        self._load()
        with self._database.read() as session:
            changes = changes_since(session, 0)
            for page in gallery.pages(session, self.network.model_id):
                self.rows.add(page.instance, page.person, page.code)
            if other := gallery.count_outdated(session, self.network.model_id):
                logger.warning("%d images have codes of other weights and join when they are encoded again", other)
        # What has changed since the snapshot comes from the database.
        self._index.remove(np.array(sorted(changes.images), np.int64))
        self._known_change = changes.last
        loaded = self._index.count
        present, wanted = self._index.ids, np.sort(self.rows.ids)
        stale = np.setdiff1d(present, wanted, assume_unique=True)
        missing = np.setdiff1d(wanted, present, assume_unique=True)
        self._index.remove(stale)
        for start in range(0, len(missing), BULK):
            with self._database.read() as session:
                found = gallery.embeddings_of(session, missing[start : start + BULK].tolist())
            if len(found):
                self._index.add(found.instance, found.embedding)
        # An image that went while the others were read.
        self.rows.remove(np.setdiff1d(self.rows.ids, self._index.ids, assume_unique=True))
        self._since_snapshot = len(missing) + len(stale) + len(changes.images)
        logger.info(
            "index ready in %.1f s: %d images of %d persons, %d from the snapshot, %d from the database",
            time.monotonic() - began,
            self._index.count,
            self.rows.person_count,
            loaded - len(stale),
            len(missing),
        )
        if changes.purged:
            self.snapshot()
        self._snapshot_if_due()

    def add(self, probe: Probe) -> None:
        """Let a matched image join the gallery; again is the same as once."""
        with self._lock:
            if probe.instance_id in self._index and probe.instance_id in self.rows:
                return
            self._look_again((probe.instance_id,))
            self._snapshot_if_due()

    def catch_up(self) -> int:
        """Look again at the images that have changed in the database: other persons, corrected, gone.

        What a snapshot must not hold any longer is out of it when this returns.

        Returns:
            id of the newest change that the index knows of, see `archive.changes`.

        Raises:
            IndexUnavailable: another machine may own the index by now.
        """
        with self._lock:
            try:
                self._ownership.check()
            except ExclusivityLost as error:
                raise IndexUnavailable(str(error)) from error
            with self._database.read() as session:
                changes = changes_since(session, self._known_change)
            if changes:
                self._strangers = None
                self._look_again(changes.images)
                self._relabel(changes.relabelled)
            self._known_change = changes.last
            if changes.purged:
                self.snapshot()
            return self._known_change

    def _look_again(self, ids: Collection[int]) -> None:
        """Make index and rows say about these images what the database says."""
        with self._database.read() as session:
            found = gallery.members(session, ids, self.network.model_id)
        gone = np.setdiff1d(np.array(sorted(ids), np.int64), found.instance)
        self._index.remove(gone)
        self.rows.remove(gone)
        self._join(found)
        self._since_snapshot += len(ids)

    def _relabel(self, ids: Collection[int]) -> None:
        """Take the persons of these images from the database, as far as they are in the gallery already."""
        with self._database.read() as session:
            known = [number for number in ids if number in self.rows]
            found = gallery.members(session, known, self.network.model_id)
        if len(found):
            self.rows.add(found.instance, found.person, found.code)

    def _join(self, images: Images) -> None:
        if len(images):
            self._index.add(images.instance, images.embedding)
            self.rows.add(images.instance, images.person, images.code)

    def candidates(self, probe: Probe) -> Ranked:
        """Images of others that are most like the probe, after the re-rank; none of its own label.

        For an image without Patient ID, neither are others without one: there is no label that could be wrong.
        """
        with self._lock:
            # The probe's own images may fill the list: ask for so many more.
            own = min(self.rows.images_of(probe.person), 4 * self._options.candidates)
            found = self._index.search(probe.embedding, self._options.candidates + own)
            persons, codes = self.rows.at(found.ids)
            others = (persons != probe.person) & (found.ids != probe.instance_id)
            if not probe.is_labelled:
                others &= persons > 0
            chosen = np.flatnonzero(others)[: self._options.candidates]
            candidates = Candidates(found.ids[chosen], found.cosines[chosen])
            return rerank(probe.code, candidates, codes[chosen], self._options.keep)

    def persons_of(self, ids: NDArray[np.int64]) -> list[int]:
        """The persons of gallery images int64 (n,), each once, in the order of first appearance."""
        with self._lock:
            return list(dict.fromkeys(self.rows.at(ids)[0].tolist()))

    def other_persons(self, probe: Probe) -> int:
        """How many persons the gallery holds besides the probe's own."""
        with self._lock:
            return self.rows.person_count - (1 if self.rows.images_of(probe.person) else 0)

    def strangers(self) -> Strangers:
        """Images of persons of the gallery, against whom cosines are normalised.

        They are chosen anew when the gallery has changed its size by a hundredth, or one of them has left it.
        """
        with self._lock:
            count = len(self.rows)
            if self._strangers is not None:
                size, found = self._strangers
                if abs(count - size) <= size // 100 and all(self.rows.images_of(p) for p in found.persons.tolist()):
                    return found
            found = drawn(self.rows, self._index.embeddings, self.network.dim)
            self._strangers = count, found
            return found

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` images most like an embedding float32 (dim,)."""
        with self._lock:
            return self._index.search(embedding, k)

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings float32 (n, dim) of gallery images int64 (n,)."""
        with self._lock:
            return self._index.embeddings(ids)

    def snapshot(self) -> bool:
        """Write a snapshot if anything has changed since the last one; whether one was written. Failure is logged."""
        with self._lock:
            if not self._since_snapshot:
                return False
            try:
                write_snapshot(self._index, self._options.kind, self.network.model_id, self._folder.index)
            except SnapshotInvalid as error:
                logger.error("the index goes on without a new snapshot: %s", error)
                return False
            finally:
                # After a failure, too, the next try waits its turn instead of slowing down every image.
                self._since_snapshot = 0
            with self._database.write() as session:
                forget_changes(session, self._known_change)
            return True

    def close(self) -> None:
        """Write a last snapshot and let the next owner in."""
        self.snapshot()
        self._ownership.close()

    def _load(self) -> None:
        for snapshot in snapshots(self._folder.index):
            try:
                load_snapshot(self._index, self._options.kind, self.network.model_id, snapshot)
                return
            except SnapshotInvalid as error:
                logger.warning("index snapshot refused, the index is rebuilt from the database: %s", error)
                self._index = make_index(self._options, self.network)
                discard(snapshot)

    def _snapshot_if_due(self) -> None:
        # A snapshot costs time in proportion to the gallery; so does the wait for the next one.
        if self._since_snapshot >= max(self._options.snapshot_every, self._index.count // 50):
            self.snapshot()


def make_index(options: IndexOptions, network: Network) -> GalleryIndex:
    """An index of the configured kind for the embeddings of a network; empty, unless it is kept in a cluster.

    Raises:
        IndexUnavailable: it is kept in a cluster that cannot be used.
    """
    dim = network.dim
    match options.kind:
        case "exact":
            return ExactIndex(dim)
        case "lsh":
            return LshIndex(dim, LshOptions(options.lsh_bits, options.lsh_tables, options.lsh_candidates))
        case "milvus":
            # Embeddings of two networks cannot be compared, so each has a collection of its own.
            collection = f"{options.milvus_collection}_{re.sub(r'[^A-Za-z0-9]', '_', network.model_id)}"
            widths = (options.m, options.ef_construction, options.ef_search)
            return MilvusIndex(dim, MilvusOptions(options.milvus_url, collection, options.milvus_token, *widths))
        case "hnsw":
            return HnswIndex(dim, HnswOptions(options.m, options.ef_construction, options.ef_search))


def open_owner(
    database: Database,
    settings: Settings,
    folder: DataDir,
    network: Network | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> IndexOwner:
    """Become the owner of the index of a system, ready to answer.

    Args:
        network: by default the one that the settings name.
        wait_seconds: how long to wait for an owner that is about to end.

    Raises:
        IndexOwned: another process is the owner.
        WeightsNotUsable, CalibrationInvalid: see `network_at_work`.
    """
    network = network or network_at_work(settings)
    ownership = _own(database, folder, wait_seconds)
    try:
        owner = IndexOwner(database, settings, folder, network, ownership)
        owner.start()
    except BaseException:
        ownership.close()
        raise
    return owner


def _own(database: Database, folder: DataDir, wait_seconds: float) -> Exclusive:
    until = time.monotonic() + wait_seconds
    while (ownership := take(database, folder, "index")) is None:
        if time.monotonic() >= until:
            raise IndexOwned("Another process owns the index of this system, here or elsewhere; only one may.")
        time.sleep(0.1)
    return ownership
