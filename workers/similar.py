"""The query task: cases with similar findings, or images that may show the same person."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from archive.case_filter import CaseFilter, fitting
from archive.database import Database
from archive.gallery import load_probe
from config.errors import LungprintError
from retrieval.codes import findings_half, hamming
from retrieval.index import Candidates
from retrieval.normalisation import Strangers
from workers.index_owner import Network
from workers.rows import GalleryRows

MOST_RESULTS = 500
# How far one may page.
DEEPEST = 5000
# Images with the same Hamming distance whose order by cosine is worked out; more tell the viewer nothing.
MOST_TIES = 10_000
# So many of the most alike images are asked for one by one whether they fit a filter; for more, all images are.
FEW = 2000
# No person has this number.
_NOBODY = 0

Patient = Literal["others", "all", "same"]
Ids = NDArray[np.int64]


class SimilarImpossible(LungprintError):
    """What was asked for cannot be compared with the gallery."""


class Searched(Protocol):
    """A gallery that can be searched: `IndexOwner`, or what stands in for it while no system runs."""

    @property
    def network(self) -> Network:
        """The network of its codes."""
        ...

    @property
    def rows(self) -> GalleryRows:
        """Its images' persons and codes."""
        ...

    def search(self, embedding: NDArray[np.float32], k: int) -> Candidates:
        """The `k` images most like an embedding float32 (dim,)."""
        ...

    def embeddings(self, ids: Ids) -> NDArray[np.float32]:
        """Embeddings float32 (n, dim) of gallery images int64 (n,)."""
        ...

    def strangers(self) -> Strangers:
        """Images of its persons, by which likeness is measured."""
        ...


@dataclass(frozen=True, eq=False)
class _Probe:
    """What is asked for; `fits` says which of some ids, or of all (None), pass the filter."""

    instance: int | None
    vector: NDArray[np.float32]
    bits: NDArray[np.uint8]
    person: int
    patient: Patient
    fits: Callable[[Ids | None], set[int]] | None

    def of_patient(self, ids: Ids, persons: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which images, bool (n,), are of the patients asked for, but for the probe itself."""
        right = np.ones(len(ids), np.bool_)
        if self.patient != "all":
            right = (persons == self.person) == (self.patient == "same")
        return right if self.instance is None else right & (ids != self.instance)


def similar(
    gallery: Searched,
    database: Database,
    instance: int | None = None,
    embedding: str | None = None,
    code: str | None = None,
    k: int = 10,
    by: Literal["findings", "person"] = "findings",
    offset: int = 0,
    patient: Patient = "others",
    person: int | None = None,
    where: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Gallery images most like an image of the archive, or like an image that was encoded elsewhere.

    By findings: exact scan, ascending Hamming distance of the findings halves, ties by cosine. By person: from the
    index, descending cosine.

    Args:
        instance: id of an encoded image; without it, `embedding` and `code` are needed:
        embedding: base64 of float32 (dim,), little endian. code: base64 of uint8 (bits/8,).
        k: how many, 1 to 500. offset: how many of the most alike to pass over, to turn pages; beyond 5,000
            there is nothing.
        patient: images of other patients than the image's own, of all, or of the same alone; never the image itself.
        person: whose image it is, as in `archive.gallery.PERSON`, where `instance` does not tell.
        where: a `CaseFilter` as JSON; None asks for nothing.

    Returns:
        JSON: `instance` id, `cosine`, `hamming` (of the half that was asked for), `probability` that both images show
        one person, at even odds.

    Raises:
        SimilarImpossible: there is no such image, it has no codes of the network at work, or the codes are malformed.
        FilterInvalid: the filter is impossible.
    """
    probe = _probe(gallery, database, instance, embedding, code, person, patient, CaseFilter.read(where or {}))
    passed_over = max(offset, 0)
    if passed_over > DEEPEST:
        return []
    wanted = passed_over + min(max(k, 1), MOST_RESULTS)
    ranked = _by_person(gallery, probe, wanted) if by == "person" else _by_findings(gallery, probe, wanted)
    found = ranked[passed_over:]
    if not len(found):
        return []
    persons, codes = gallery.rows.at(found)
    compared = gallery.network.comparer.compare(
        probe.vector, probe.bits, gallery.embeddings(found), codes, gallery.strangers(), probe.person, persons
    )
    shown = compared.hamming if by == "person" else hamming(findings_half(codes), findings_half(probe.bits))
    return [
        {"instance": int(i), "cosine": float(c), "hamming": int(h), "probability": float(p)}
        for i, c, h, p in zip(found, compared.cosine, shown, compared.probability, strict=True)
    ]


def _probe(
    gallery: Searched,
    database: Database,
    instance: int | None,
    embedding: str | None,
    code: str | None,
    person: int | None,
    patient: Patient,
    where: CaseFilter,
) -> _Probe:
    def fits(ids: Ids | None) -> set[int]:
        with database.read() as session:
            return fitting(session, where, None if ids is None else ids.tolist())

    network, passing = gallery.network, fits if where else None
    if instance is not None:
        with database.read() as session:
            stored = load_probe(session, instance)
        if stored is None or stored.model_id != network.model_id:
            raise SimilarImpossible("This image has no codes to compare: it is not encoded, or was found unsuitable.")
        return _Probe(instance, stored.embedding, stored.code, stored.person, patient, passing)
    try:
        vector = np.frombuffer(base64.b64decode(embedding or "", validate=True), "<f4")
        bits = np.frombuffer(base64.b64decode(code or "", validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise SimilarImpossible("The embedding and the code must be given as base64.") from error
    length = float(np.linalg.norm(vector))
    if vector.shape != (network.dim,) or bits.shape != (network.bits // 8,) or not 0 < length < np.inf:
        raise SimilarImpossible("The embedding or the code does not come from the network at work.")
    whose = _NOBODY if person is None else person
    return _Probe(None, (vector / length).astype(np.float32), bits, whose, patient, passing)


def _by_person(gallery: Searched, probe: _Probe, wanted: int) -> Ids:
    """Ids of the most alike, by the index as long as that asks for few, else by comparing all that may be shown."""
    own = gallery.rows.images_of(probe.person) if probe.patient == "others" else 0
    # One wide search instead of several that find too little that fits.
    asked = wanted + own + 1 if probe.fits is None else max(wanted + own + 1, FEW)
    while probe.patient != "same" and asked <= max(FEW, wanted + own + 1):
        ids = gallery.search(probe.vector, asked).ids
        kept = ids[probe.of_patient(ids, gallery.rows.at(ids)[0])]
        if probe.fits is not None:
            kept = kept[_is_in(kept, probe.fits(kept))]
        if len(kept) >= wanted or asked >= len(gallery.rows):
            return np.asarray(kept[:wanted])
        asked *= 4
    ids = _allowed(gallery, probe)
    cosines = gallery.embeddings(ids) @ probe.vector if len(ids) else np.zeros(0)
    return np.asarray(ids[np.lexsort((ids, -cosines))][:wanted])


def _by_findings(gallery: Searched, probe: _Probe, wanted: int) -> Ids:
    """Ids of the nearest: an exact scan, and among the nearest as many looks at the archive as the filter needs."""
    distances = gallery.rows.findings.distances(findings_half(probe.bits), len(gallery.rows))
    ids = gallery.rows.ids
    rows = np.flatnonzero(probe.of_patient(ids, gallery.rows.persons))
    if probe.fits is not None:
        near = _nearest(distances[rows], FEW)
        some = rows[near][_is_in(ids[rows[near]], probe.fits(ids[rows[near]]))]
        # The images at the edge of what was looked at have neighbours at the same distance that were not.
        inside = some[distances[some] < distances[rows[near]].max()] if len(near) < len(rows) else some
        rows = inside if len(inside) >= wanted or len(near) == len(rows) else rows[_is_in(ids[rows], probe.fits(None))]
    near = rows[_nearest(distances[rows], wanted)]
    order = np.lexsort((ids[near], -(gallery.embeddings(ids[near]) @ probe.vector), distances[near]))
    return np.asarray(ids[near][order][:wanted])


def _nearest(distances: NDArray[np.integer], wanted: int) -> NDArray[np.int64]:
    """Positions of the `wanted` nearest and those as near as the last of them; of too many of these, the latest."""
    if len(distances) <= wanted:
        return np.arange(len(distances))
    edge = np.partition(distances, wanted - 1)[wanted - 1]
    return np.concatenate([np.flatnonzero(distances < edge), np.flatnonzero(distances == edge)[-MOST_TIES:]])


def _allowed(gallery: Searched, probe: _Probe) -> Ids:
    """Ids of all images that may be shown."""
    ids = gallery.rows.ids[probe.of_patient(gallery.rows.ids, gallery.rows.persons)]
    return ids if probe.fits is None else np.asarray(ids[_is_in(ids, probe.fits(None))])


def _is_in(ids: Ids, allowed: set[int]) -> NDArray[np.bool_]:
    return np.isin(ids, np.fromiter(allowed, np.int64, len(allowed)))
