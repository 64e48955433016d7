"""The gallery read from the database, for searching while no system runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archive.database import Database
from archive.gallery import embeddings_of, pages
from retrieval.index import Candidates
from retrieval.index.base import best
from retrieval.normalisation import Strangers
from workers.index_owner import Network
from workers.rows import GalleryRows
from workers.strangers import drawn

_PAGE = 5000


class StoredGallery:
    """What `workers.similar` needs of an index, with exact searches that read all embeddings page by page."""

    def __init__(self, database: Database, network: Network) -> None:
        self.network = network
        self.rows = GalleryRows(network.bits // 8)
        self._database = database
        with database.read() as session:
            for page in pages(session, network.model_id):
                self.rows.add(page.instance, page.person, page.code)
        self._strangers = drawn(self.rows, self.embeddings, network.dim)

    def strangers(self) -> Strangers:
        """Images of its persons, by which likeness is measured."""
        return self._strangers

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` images most like an embedding float32 (dim,), of unit length; ties by id."""
        found = Candidates(np.zeros(0, np.int64), np.zeros(0, np.float32))
        for start in range(0, len(self.rows), _PAGE):
            ids = self.rows.ids[start : start + _PAGE]
            cosines = self.embeddings(ids) @ embedding
            found = best(np.concatenate([found.ids, ids]), np.concatenate([found.cosines, cosines]), k)
        return found

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings float32 (n, dim) of gallery images int64 (n,)."""
        with self._database.read() as session:
            images = embeddings_of(session, ids.tolist())
        place = {number: row for row, number in enumerate(images.instance.tolist())}
        return np.asarray(images.embedding[[place[number] for number in ids.tolist()]]).reshape(
            len(ids), self.network.dim
        )
