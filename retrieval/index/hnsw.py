"""Approximate search in a navigable small-world graph (hnswlib), with that library's hazards fenced off."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np
from numpy.typing import NDArray

from retrieval.errors import SnapshotInvalid
from retrieval.index.base import Candidates, best, checked_ids, direction, lengths
from retrieval.index.growing import grown
from retrieval.index.id_map import MISSING, IdMap
from retrieval.large_pages import use_large_pages

# Nearer than this, two embeddings are one node: hundreds of equal nodes link only to each other, and cut others off.
SAME_NODE = 1e-6
_BLOCK = 1000
# Below this many, one thread is faster, and the graph is the same each time.
_BULK = 10_000
_FIRST_CAPACITY = 1024
_GROWTH = 1.25


@dataclass(frozen=True)
class HnswOptions:
    """Links of a node, and the width of the search while building and while querying."""

    m: int = 28
    ef_construction: int = 200
    ef_search: int = 1000


class HnswIndex:
    """A graph whose nodes are numbered by us and never reused; one node may stand for several ids.

    A removed or replaced id leaves a deleted node behind, without its embedding; when these outnumber the others, the
    graph is built anew.
    """

    kind = "hnsw"

    def __init__(self, dim: int, options: HnswOptions | None = None) -> None:
        self._dim = dim
        self._options = options or HnswOptions()
        # Width of the search while querying; may be changed at any time.
        self.ef_search = self._options.ef_search
        self._clear()

    def _clear(self) -> None:
        self._graph = self._new_graph(_FIRST_CAPACITY)
        self._node = IdMap()  # id -> its node
        self._first = np.full(_FIRST_CAPACITY, -1, np.int64)  # node -> one of its ids; -1 = deleted
        self._more: dict[int, list[int]] = {}  # node -> its other ids
        self._nodes = 0  # numbers given out, deleted nodes included
        self._deleted = 0

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self._dim

    @property
    def count(self) -> int:
        """How many ids are in it."""
        return len(self._node)

    @property
    def ids(self) -> NDArray[np.int64]:
        """All ids in it, int64 (count,), ascending."""
        return self._node.ids

    def __contains__(self, item: int) -> bool:
        return item in self._node

    def add(self, ids: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Add or replace embeddings; see `GalleryIndex.add`."""
        ids, by = checked_ids(ids, len(embeddings)), lengths(embeddings, self._dim)[:, None]
        self._forget(ids)
        threads = (os.cpu_count() or 1) if len(ids) >= _BULK else 1
        self._reserve(self._nodes + len(ids))
        for start in range(0, len(ids), _BLOCK):
            # Divided by their length some at a time: the room that a copy of all takes would not be given back.
            some = slice(start, start + _BLOCK)
            self._add_block(ids[some], np.divide(embeddings[some], by[some], dtype=np.float32), threads)
        self._compact()

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids; unknown ones are ignored."""
        self._forget(ids)
        self._compact()

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` most similar images; see `GalleryIndex.search`. Approximate: one may be missed."""
        nodes, cosines = self._nearest(direction(embedding, self._dim), min(k, self._nodes - self._deleted))
        if not self._more:
            return best(self._first[nodes], cosines, k)
        counts = np.array([1 + len(self._more.get(node, ())) for node in nodes.tolist()], np.int64)
        members = [i for node in nodes.tolist() for i in (int(self._first[node]), *self._more.get(node, ()))]
        return best(np.array(members, np.int64), np.repeat(cosines, counts), k)

    def embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings of known ids, as near as `SAME_NODE`; see `GalleryIndex.embeddings`."""
        return self._vectors(self._node.known(ids))

    def save(self, folder: Path) -> None:
        """Write the index into an empty folder; hnswlib does not say when it could not, so the sizes are compared."""
        graph = folder / "graph.bin"
        ids = self._node.ids
        try:
            self._graph.save_index(str(graph))
            if graph.stat().st_size != self._graph.index_file_size():
                raise SnapshotInvalid("The index could not be written as a whole; the disk may be full.")
            np.save(folder / "ids.npy", ids)
            np.save(folder / "nodes.npy", self._node.rows(ids))
        except (OSError, RuntimeError) as error:
            raise SnapshotInvalid(f"The index could not be written: {error}.") from error

    def load(self, folder: Path) -> None:
        """Replace the content by what `save` wrote."""
        try:
            ids, nodes = np.load(folder / "ids.npy"), np.load(folder / "nodes.npy")
            graph = hnswlib.Index("ip", self._dim)
            graph.load_index(str(folder / "graph.bin"), max_elements=max(_FIRST_CAPACITY, int(_GROWTH * len(ids))))
        except (OSError, ValueError, RuntimeError) as error:
            raise SnapshotInvalid("The stored index cannot be read.") from error
        total = graph.get_current_count()
        if len(ids) != len(nodes) or (len(nodes) and not 0 <= nodes.min() <= nodes.max() < total):
            raise SnapshotInvalid("The stored index does not fit its ids.")
        live = np.count_nonzero(np.bincount(nodes))
        self._clear()
        self._graph, self._nodes, self._deleted = graph, total, total - int(live)
        self._graph.set_num_threads(1)
        use_large_pages()
        self._first = np.full(graph.get_max_elements(), -1, np.int64)
        self._join(ids, nodes)

    def _new_graph(self, capacity: int) -> hnswlib.Index:
        graph = hnswlib.Index("ip", self._dim)
        graph.init_index(capacity, M=self._options.m, ef_construction=self._options.ef_construction)
        graph.set_num_threads(1)
        return graph

    def _reserve(self, nodes: int) -> None:
        capacity = self._graph.get_max_elements()
        if nodes > capacity:
            # hnswlib takes a hundred bytes for a place, whether it is used or not.
            self._graph.resize_index(max(nodes, int(_GROWTH * capacity)))
            use_large_pages()
        self._first = grown(self._first, self._graph.get_max_elements(), fill=-1)

    def _add_block(self, ids: NDArray[np.int64], vectors: NDArray[np.float32], threads: int) -> None:
        """Give each id a node: one that is there, one of another id in the block, or a new one."""
        alike = vectors @ vectors.T >= 1 - SAME_NODE
        np.fill_diagonal(alike, True)
        leader = np.argmax(alike, axis=1)  # the first of equal vectors stands for all
        known = self._same_nodes(vectors, threads)
        fresh = np.flatnonzero((known < 0) & (leader == np.arange(len(ids))))
        known[fresh] = np.arange(self._nodes, self._nodes + len(fresh))
        self._graph.add_items(vectors[fresh], known[fresh], num_threads=threads)
        self._nodes += len(fresh)
        for follower in np.flatnonzero(known < 0):
            known[follower] = known[leader[follower]]
        self._join(ids, known)

    def _same_nodes(self, vectors: NDArray[np.float32], threads: int) -> NDArray[np.int64]:
        """The node that each vector equals, int64 (n,), -1 for none."""
        if self._nodes == self._deleted:
            return np.full(len(vectors), -1, np.int64)
        self._graph.set_ef(32)
        try:
            nodes, distances = self._graph.knn_query(vectors, k=1, num_threads=threads)
        except RuntimeError:  # nothing but deleted nodes was reached
            return np.full(len(vectors), -1, np.int64)
        return np.where(distances[:, 0] <= SAME_NODE, nodes[:, 0].astype(np.int64), -1)

    def _join(self, ids: NDArray[np.int64], nodes: NDArray[np.int64]) -> None:
        """Let ids stand at nodes, both int64 (n,)."""
        self._node.put(ids, nodes)
        leads = np.zeros(len(ids), np.bool_)
        leads[np.unique(nodes, return_index=True)[1]] = True
        leads &= self._first[nodes] < 0
        self._first[nodes[leads]] = ids[leads]
        for number, node in zip(ids[~leads].tolist(), nodes[~leads].tolist(), strict=True):
            self._more.setdefault(node, []).append(number)

    def _forget(self, ids: NDArray[np.int64]) -> None:
        dead: list[int] = []
        there = np.unique(ids[self._node.rows(ids) != MISSING])
        for number, node in zip(there.tolist(), self._node.rows(there).tolist(), strict=True):
            others = self._more.get(node, [])
            if number in others:
                others.remove(number)
            else:
                self._first[node] = others.pop() if others else -1
            if not others:
                self._more.pop(node, None)
            if self._first[node] < 0:
                dead.append(node)
        self._node.drop(there)
        vectors = self._vectors(np.array(dead, np.int64))
        for node in dead:
            self._graph.mark_deleted(node)
            self._deleted += 1
        if not self._is_to_compact():
            self._overwrite(dead, vectors)

    def _overwrite(self, nodes: list[int], vectors: NDArray[np.float32]) -> None:
        """Give deleted nodes, which had these vectors float32 (n, dim), those of others nearby.

        hnswlib goes on keeping and saving what a deleted node was. Where it lies in the graph hardly changes.
        """
        for node, vector in zip(nodes, vectors, strict=True):
            nearest, _ = self._nearest(vector, min(1, self._nodes - self._deleted))
            if not len(nearest):
                self._clear()
                return
            self._graph.add_items(self._vectors(nearest), np.array([node]), num_threads=1)
            self._graph.mark_deleted(node)

    def _is_to_compact(self) -> bool:
        return self._deleted > max(_FIRST_CAPACITY, self._nodes - self._deleted)

    def _compact(self) -> None:
        if not self._is_to_compact():
            return
        ids, vectors = self.ids, self.embeddings(self.ids)
        self._clear()
        self.add(ids, vectors)

    def _nearest(self, probe: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The `k` nearest nodes int64 (k,) and their cosines float32 (k,)."""
        if k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        width = max(self.ef_search, k)
        while width < 4 * (self._nodes + k):
            self._graph.set_ef(width)
            try:
                nodes, distances = self._graph.knn_query(probe, k=k, num_threads=1)
            except RuntimeError:  # fewer than k nodes were reached; a wider search reaches more
                width *= 4
                continue
            return nodes[0].view(np.int64), np.float32(1) - distances[0]
        return self._scan(probe, k)

    def _scan(self, probe: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The same without the graph, for the rare case that parts of it cannot be reached."""
        live = np.flatnonzero(self._first[: self._nodes] >= 0)
        starts = range(0, len(live), _BLOCK)
        cosines = np.concatenate([self._vectors(live[start : start + _BLOCK]) @ probe for start in starts])
        order = np.argsort(-cosines, kind="stable")[:k]
        return live[order], cosines[order]

    def _vectors(self, nodes: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.asarray(self._graph.get_items(nodes), np.float32) if len(nodes) else np.zeros(0, np.float32)
        return found.reshape(len(nodes), self._dim)
