"""The query task: cases with similar findings, or images that may show the same person."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archive.database import Database
from archive.gallery import load_probe
from config.errors import LungprintError
from retrieval.codes import findings_half, hamming
from workers.index_owner import IndexOwner

MOST_RESULTS = 500
# Images with the same Hamming distance whose order by cosine is worked out; more tell the viewer nothing.
MOST_TIES = 10_000
# No person has this number.
_NOBODY = 0


class SimilarImpossible(LungprintError):
    """What was asked for cannot be compared with the gallery."""


def similar(
    owner: IndexOwner,
    database: Database,
    instance: int | None = None,
    embedding: str | None = None,
    code: str | None = None,
    k: int = 10,
    by: Literal["findings", "person"] = "findings",
) -> list[dict[str, Any]]:
    """Gallery images most like an image of the archive, or like an image that was encoded elsewhere.

    By findings: exact scan, ascending Hamming distance of the findings halves, ties by cosine. By person: from the
    index, descending cosine. With `instance`, images of the same person are left out.

    Args:
        instance: id of an encoded image; without it, `embedding` and `code` are needed:
        embedding: base64 of float32 (dim,), little endian. code: base64 of uint8 (bits/8,).
        k: how many, 1 to 500.

    Returns:
        JSON: `instance` id, `cosine`, `hamming` (of the half that was asked for), `probability` that both images show
        one person, at even odds.

    Raises:
        SimilarImpossible: there is no such image, it has no codes of the network at work, or the codes are malformed.
    """
    vector, bits, person = _probe(owner, database, instance, embedding, code)
    wanted = min(max(k, 1), MOST_RESULTS)
    if by == "person":
        found = _by_person(owner, vector, person, wanted)
    else:
        found = _by_findings(owner, bits, vector, person, wanted)
    if not len(found):
        return []
    codes = owner.rows.at(found)[1]
    compared = owner.network.comparer.compare(vector, bits, owner.embeddings(found), codes)
    shown = compared.hamming if by == "person" else hamming(findings_half(codes), findings_half(bits))
    return [
        {"instance": int(i), "cosine": float(c), "hamming": int(h), "probability": float(p)}
        for i, c, h, p in zip(found, compared.cosine, shown, compared.probability, strict=True)
    ]


def _probe(
    owner: IndexOwner, database: Database, instance: int | None, embedding: str | None, code: str | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], int]:
    """Embedding, code and person of what is asked for."""
    network = owner.network
    if instance is not None:
        with database.read() as session:
            probe = load_probe(session, instance)
        if probe is None or probe.model_id != network.model_id:
            raise SimilarImpossible("This image has no codes to compare: it is not encoded, or was found unsuitable.")
        return probe.embedding, probe.code, probe.person
    try:
        vector = np.frombuffer(base64.b64decode(embedding or "", validate=True), "<f4")
        bits = np.frombuffer(base64.b64decode(code or "", validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise SimilarImpossible("The embedding and the code must be given as base64.") from error
    length = float(np.linalg.norm(vector))
    if vector.shape != (network.dim,) or bits.shape != (network.bits // 8,) or not 0 < length < np.inf:
        raise SimilarImpossible("The embedding or the code does not come from the network at work.")
    return (vector / length).astype(np.float32), bits, _NOBODY


def _by_person(owner: IndexOwner, vector: NDArray[np.float32], person: int, k: int) -> NDArray[np.int64]:
    ids = owner.search(vector, k + owner.rows.images_of(person)).ids
    others: NDArray[np.int64] = ids[owner.rows.at(ids)[0] != person]
    return others[:k]


def _by_findings(
    owner: IndexOwner, bits: NDArray[np.uint8], vector: NDArray[np.float32], person: int, k: int
) -> NDArray[np.int64]:
    rows = np.flatnonzero(owner.rows.persons != person)
    distances = owner.rows.findings.distances(findings_half(bits), len(owner.rows))[rows]
    edge = np.partition(distances, k - 1)[k - 1] if len(rows) > k else len(bits) * 8
    # Of too many images at the edge, the latest are looked at.
    near = np.concatenate([np.flatnonzero(distances < edge), np.flatnonzero(distances == edge)[-MOST_TIES:]])
    ids = owner.rows.ids[rows[near]]
    order = np.lexsort((ids, -(owner.embeddings(ids) @ vector), distances[near]))
    chosen: NDArray[np.int64] = ids[order][:k]
    return chosen
