"""Embeddings in a Milvus cluster, for galleries that outgrow one machine; hash codes stay with us."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import IndexInputInvalid, IndexUnavailable, SnapshotInvalid
from retrieval.index.base import Candidates, best, checked, direction

# Most rows that Milvus returns for one search or takes well in one message.
MOST_RESULTS = 16_384
_BATCH = 2000
_ID, _VECTOR = "id", "embedding"
_WHERE = "collection.txt"

T = TypeVar("T")


@dataclass(frozen=True)
class MilvusOptions:
    """Where the collection is, and what its graph is like.

    Attributes:
        url: `https://host:19530`, or the path of a file for Milvus Lite.
        collection: its name: letters, digits and underscores.
        token: `user:password` or an API key; "" = none.
        m, ef_construction, ef_search: as for `HnswOptions`.
    """

    url: str
    collection: str
    token: str = ""
    m: int = 28
    ef_construction: int = 200
    ef_search: int = 1000


class MilvusIndex:
    """A collection with an HNSW graph by cosine; every search sees every earlier add (consistency level Strong).

    The collection outlives this object, which keeps only the ids. One system may write to it.

    Raises:
        IndexUnavailable: the package pymilvus is missing, or the cluster cannot be reached or refuses.
        IndexInputInvalid: the collection holds embeddings of another length.
    """

    kind = "milvus"

    def __init__(self, dim: int, options: MilvusOptions) -> None:
        self._dim = dim
        self._options = options
        try:
            self._pymilvus: Any = import_module("pymilvus")
        except ImportError as error:
            raise IndexUnavailable(
                "The index kind milvus needs the package pymilvus: pip install 'lungprint[milvus]'."
            ) from error
        self._client: Any = self._asked(
            lambda: self._pymilvus.MilvusClient(uri=options.url, token=options.token, timeout=30)
        )
        if not self._asked(lambda: self._client.has_collection(options.collection)):
            self._create()
        self._check_length()
        self._known: set[int] = set(self._stored_ids())

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    @property
    def count(self) -> int:
        """How many ids are in it."""
        return len(self._known)

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids in it, int64 (count,), ascending."""
        return np.sort(np.fromiter(self._known, np.int64, len(self._known)))

    def __contains__(self, item: int) -> bool:
        return item in self._known

    def add(self, ids: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Add or replace embeddings; see `GalleryIndex.add`.

        Raises:
            IndexUnavailable: some may be added, some not; again is the same as once.
        """
        ids, vectors = checked(ids, embeddings, self._dim)
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH].tolist()
            pairs = zip(some, vectors[start : start + _BATCH], strict=True)
            rows = [{_ID: number, _VECTOR: vector} for number, vector in pairs]
            self._asked(partial(self._client.upsert, self._options.collection, rows))
            self._known.update(some)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids; unknown ones are ignored.

        Raises:
            IndexUnavailable: some may be removed, some not; again is the same as once.
        """
        there = [number for number in ids.tolist() if number in self._known]
        for start in range(0, len(there), _BATCH):
            some = there[start : start + _BATCH]
            self._asked(partial(self._client.delete, self._options.collection, ids=some))
            self._known.difference_update(some)

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` ≤ 16,384 most similar images; see `GalleryIndex.search`. Approximate: one may be missed.

        Raises:
            IndexUnavailable: the cluster does not answer.
        """
        probe = direction(embedding, self._dim)
        wanted = min(k, self.count, MOST_RESULTS)
        if not wanted:
            return best(np.zeros(0, np.int64), np.zeros(0, np.float32), k)
        width = max(self._options.ef_search, wanted)
        (hits,) = self._asked(
            lambda: self._client.search(
                self._options.collection,
                data=[probe],
                limit=wanted,
                search_params={"metric_type": "COSINE", "params": {"ef": width}},
                output_fields=[_ID],
                consistency_level="Strong",
            )
        )
        ids = np.array([hit["id"] for hit in hits], np.int64)
        return best(ids, np.array([hit["distance"] for hit in hits], np.float32), k)

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings of known ids; see `GalleryIndex.embeddings`.

        Raises:
            IndexUnavailable: the cluster does not answer.
        """
        asked = ids.tolist()
        if unknown := [number for number in asked if number not in self._known]:
            raise IndexInputInvalid(f"Image {unknown[0]} is not in the index.")
        found: dict[int, Any] = {}
        for start in range(0, len(asked), _BATCH):
            some = asked[start : start + _BATCH]
            rows = self._asked(
                partial(self._client.get, self._options.collection, ids=some, output_fields=[_ID, _VECTOR])
            )
            found.update({row[_ID]: row[_VECTOR] for row in rows})
        return np.array([found[number] for number in asked], np.float32).reshape(len(asked), self._dim)

    def save(self, folder: Path) -> None:
        """Let the cluster make durable what it has, and note the collection's name; the embeddings stay there."""
        self._asked(lambda: self._client.flush(self._options.collection))
        try:
            (folder / _WHERE).write_text(self._options.collection, encoding="utf-8")
        except OSError as error:
            raise SnapshotInvalid(f"The index could not be written: {error.strerror or error}.") from error

    def load(self, folder: Path) -> None:
        """Look again at what the collection holds.

        Raises:
            SnapshotInvalid: the snapshot is of another collection.
        """
        try:
            name = (folder / _WHERE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SnapshotInvalid("The stored index cannot be read.") from error
        if name != self._options.collection:
            raise SnapshotInvalid("The stored index is of another collection.")
        self._known = set(self._stored_ids())

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _create(self) -> None:
        kinds = self._pymilvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, kinds.INT64, is_primary=True)
        schema.add_field(_VECTOR, kinds.FLOAT_VECTOR, dim=self._dim)
        graph = self._client.prepare_index_params()
        shape = {"M": self._options.m, "efConstruction": self._options.ef_construction}
        graph.add_index(_VECTOR, index_type="HNSW", metric_type="COSINE", params=shape)
        name = self._options.collection
        self._asked(
            lambda: self._client.create_collection(name, schema=schema, index_params=graph, consistency_level="Strong")
        )

    def _check_length(self) -> None:
        described = self._asked(lambda: self._client.describe_collection(self._options.collection))
        lengths = [field["params"].get("dim") for field in described["fields"] if field["name"] == _VECTOR]
        if [int(length or 0) for length in lengths] != [self._dim]:
            raise IndexInputInvalid(
                f"The Milvus collection {self._options.collection} does not hold embeddings of {self._dim} numbers; "
                "choose another name with index.milvus_collection."
            )

    def _stored_ids(self) -> list[int]:
        self._asked(lambda: self._client.load_collection(self._options.collection))
        rows = self._asked(
            lambda: self._client.query_iterator(
                self._options.collection, batch_size=MOST_RESULTS, filter=f"{_ID} >= 0", output_fields=[_ID]
            )
        )
        found: list[int] = []
        while page := self._asked(rows.next):
            found += [row[_ID] for row in page]
        rows.close()
        return found

    def _asked(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except self._pymilvus.MilvusException as error:
            raise IndexUnavailable(
                f"The Milvus cluster does not do what the index asks for (code {error.code}); "
                "check that it runs, and the options index.milvus_url and index.milvus_token."
            ) from error
