"""From received files to stored codes: decode ahead, one forward pass for a batch, one transaction, hand on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from archive import progress
from archive.corrections import check_corrected
from archive.database import Database
from archive.files import ImageFiles
from archive.models import Code, Instance
from archive.states import ImageState
from config.settings import Settings
from retrieval.errors import DeviceFailed
from workers.decode_pool import DecodePool
from workers.decoder import Decoded, Order, Outcome, Unreadable

logger = logging.getLogger(__name__)

# An image that decodes longer than this comes back in a later batch instead of holding up the others.
STRAGGLER_SECONDS = 3.0
# Decodings that nobody fetched, as their message was lost with the connection; the oldest are dropped.
MOST_AHEAD = 512
# A decoding that has not ended after so many times its limit never will.
LOST_AFTER_TIMEOUTS = 4


class GateReading(Protocol):
    """For n images: suitable bool (n,), and a reason for each that is not."""

    @property
    def suitable(self) -> NDArray[np.bool_]: ...
    @property
    def reason(self) -> tuple[str | None, ...]: ...


class Encodings(Protocol):
    """For n images: embedding float32 (n, d), code uint8 (n, bits/8), attention float32 (n, h, w), gate, and righting.

    Righting is what was done to an image that is stored turned or inverted, in words as `str`; None for others.
    """

    @property
    def embedding(self) -> NDArray[np.float32]: ...
    @property
    def code(self) -> NDArray[np.uint8]: ...
    @property
    def attention(self) -> NDArray[np.float32]: ...
    @property
    def gate(self) -> GateReading: ...
    @property
    def righting(self) -> Sequence[object | None]: ...


class Network(Protocol):
    """What turns prepared images uint8 (n, 320, 320) into codes; `retrieval.encoder.Encoder` does."""

    model_id: str

    def encode(self, images: NDArray[np.uint8], /) -> Encodings: ...


@dataclass(frozen=True)
class _Item:
    """What the database says about an image that is to be encoded."""

    instance_id: int
    state: ImageState
    file_digest: str
    model_id: str | None


class BatchEncoder:
    """Encodes batches of images; each step may happen twice with the result of once.

    Args:
        to_match: called with an image's id once its codes are committed.
        to_encode: called with the id of an image whose decoding took long, once that has ended.
    """

    def __init__(
        self,
        database: Database,
        files: ImageFiles,
        pool: DecodePool,
        network: Network,
        settings: Settings,
        to_match: Callable[[int], None],
        to_encode: Callable[[int], None],
    ) -> None:
        self._database = database
        self._files = files
        self._pool = pool
        self._network = network
        self._settings = settings
        self._to_match = to_match
        self._to_encode = to_encode
        self._lock = threading.Lock()
        # By image: the digest of the file that is decoded, and what will come of it.
        self._ahead: dict[int, tuple[str, Future[Outcome]]] = {}
        self._given_up_after = LOST_AFTER_TIMEOUTS * settings.decoding.timeout_seconds
        self._begun: dict[int, float] = {}

    @property
    def model_id(self) -> str:
        """Digest of the weights at work."""
        return self._network.model_id

    def announce(self, instance_id: int) -> None:
        """Begin to decode an image that will soon be asked for, while another batch is in the network."""
        with self._database.read() as session:
            items = [item for item in _items(session, [instance_id]) if self._is_to_encode(item)]
        for item in items:
            self._decoding(item)

    def run(self, instance_ids: Sequence[int]) -> None:
        """Bring a batch of images to ENCODED, UNSUITABLE or their next attempt, and hand on what is encoded.

        Raises:
            DeviceFailed: the GPU broke down; nothing was written down of this batch, and this process cannot go on.
        """
        with self._database.read() as session:
            items = _items(session, instance_ids)
        for item in items:
            if item.state is ImageState.ENCODED and not self._is_to_encode(item):
                self._to_match(item.instance_id)
        wanted = {item.instance_id: self._decoding(item) for item in items if self._is_to_encode(item)}
        done, late = wait(wanted.values(), timeout=STRAGGLER_SECONDS)
        outcomes: dict[int, Outcome] = {}
        for instance_id, future in wanted.items():
            if future in late and self._is_lost(instance_id):
                # A decoder that dies before it has said what it works on leaves a future that nobody completes.
                future.cancel()
                outcomes[instance_id] = Unreadable("the decoder was lost", for_good=False)
                self._forget(instance_id)
            elif future in late:
                future.add_done_callback(partial(self._come_back, instance_id))
            elif future in done:
                outcomes[instance_id] = self._pool.outcome(future)
                self._forget(instance_id)
        if outcomes:
            self._encode(outcomes, {item.instance_id: item for item in items})
        for instance_id in set(instance_ids).difference(item.instance_id for item in items):
            self._leave_nothing_of(instance_id)

    def _is_to_encode(self, item: _Item) -> bool:
        if item.state is ImageState.RECEIVED:
            return True
        return item.state in (ImageState.ENCODED, ImageState.MATCHED) and item.model_id != self.model_id

    def _decoding(self, item: _Item) -> Future[Outcome]:
        decoding = self._settings.decoding
        order = Order(
            self._files.path(item.file_digest),
            self._files.preview_path(item.instance_id),
            decoding.preview_side,
            decoding.max_pixels,
        )
        with self._lock:
            file_digest, future = self._ahead.get(item.instance_id, ("", None))
            if future is None or file_digest != item.file_digest:
                future = self._pool.submit(order)
                self._ahead[item.instance_id] = item.file_digest, future
                self._begun[item.instance_id] = time.monotonic()
                while len(self._ahead) > MOST_AHEAD:
                    oldest = next(iter(self._ahead))
                    del self._ahead[oldest], self._begun[oldest]
            return future

    def _forget(self, instance_id: int) -> None:
        with self._lock:
            self._ahead.pop(instance_id, None)
            self._begun.pop(instance_id, None)

    def _is_lost(self, instance_id: int) -> bool:
        with self._lock:
            begun = self._begun.get(instance_id)
        return begun is not None and time.monotonic() - begun > self._given_up_after

    def _come_back(self, instance_id: int, _: Future[Outcome]) -> None:
        self._to_encode(instance_id)

    def _leave_nothing_of(self, instance_id: int) -> None:
        """Remove what comes of decoding an image that was purged after that had begun."""
        with self._lock:
            _, future = self._ahead.get(instance_id, ("", None))
        self._forget(instance_id)
        if future is not None:
            future.add_done_callback(lambda _: self._files.drop_preview(instance_id))

    def _encode(self, outcomes: dict[int, Outcome], items: Mapping[int, _Item]) -> None:
        usable = {i: o for i, o in outcomes.items() if isinstance(o, Decoded) and not o.unsuitable}
        encodings: Encodings | None = None
        failure = ""
        try:
            if usable:
                encodings = self._network.encode(np.stack([decoded.prepared for decoded in usable.values()]))
        except DeviceFailed:
            # No fault of these images: no attempt is counted, the next process takes them.
            raise
        except Exception as error:
            logger.exception("encoding %d images failed", len(usable))
            failure = f"encoding failed: {type(error).__name__}"
        rows = {instance_id: row for row, instance_id in enumerate(usable)}
        with self._database.write() as session:
            present = [number for number in outcomes if self._is_present(session, number, items[number].file_digest)]
            encoded = [
                instance_id
                for instance_id in present
                if self._record(session, instance_id, outcomes[instance_id], encodings, rows.get(instance_id), failure)
            ]
            check_corrected(session, self._settings, present)
        for instance_id in present:
            # A corrected image is RECEIVED again; if it cannot be read, its preview shows what it was before.
            if isinstance(outcomes[instance_id], Unreadable) and items[instance_id].state is ImageState.RECEIVED:
                self._files.drop_preview(instance_id)
        for instance_id in encoded:
            self._to_match(instance_id)

    def _record(
        self,
        session: Session,
        instance_id: int,
        outcome: Outcome,
        encodings: Encodings | None,
        row: int | None,
        failure: str,
    ) -> bool:
        """Write down what became of one image; whether it now has codes to be matched."""
        if isinstance(outcome, Unreadable):
            self._record_unreadable(session, instance_id, outcome)
            return False
        if outcome.unsuitable:
            progress.mark_unsuitable(session, instance_id, outcome.unsuitable, outcome.picture)
            return False
        if encodings is None or row is None:
            progress.record_failure(session, instance_id, failure, self._settings.workers)
            return False
        reason = encodings.gate.reason[row]
        if reason is not None and progress.mark_unsuitable(session, instance_id, reason, outcome.picture):
            return False
        encoding = progress.Encoding(
            self.model_id,
            encodings.embedding[row],
            encodings.code[row],
            encodings.attention[row],
            outcome.box,
            str(encodings.righting[row] or ""),
        )
        return progress.record_encoding(session, instance_id, outcome.picture, encoding)

    def _is_present(self, session: Session, instance_id: int, file_digest: str) -> bool:
        """Whether what was decoded is the image still, and not corrected or purged meanwhile."""
        instance = session.get(Instance, instance_id, with_for_update=True)
        is_present = instance is not None and instance.file_digest == file_digest
        if not is_present:
            self._files.drop_preview(instance_id)
        return is_present

    def _record_unreadable(self, session: Session, instance_id: int, outcome: Unreadable) -> None:
        if not (outcome.for_good and progress.mark_unsuitable(session, instance_id, outcome.reason)):
            state = progress.record_failure(session, instance_id, outcome.reason, self._settings.workers)
            logger.warning("image %d was not decoded and is now %s: %s", instance_id, state, outcome.reason)


def _items(session: Session, instance_ids: Iterable[int]) -> list[_Item]:
    query = (
        select(Instance.id, Instance.state, Instance.file_digest, Code.model_id)
        .outerjoin(Code, Code.instance_pk == Instance.id)
        .where(Instance.id.in_(list(instance_ids)))
    )
    return [_Item(*row) for row in session.execute(query)]
