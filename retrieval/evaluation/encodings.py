"""Each image encoded once for each network, and kept for the next run if there is a folder for it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

import retrieval.codes
import retrieval.encoder
import retrieval.gate
import retrieval.networks
import retrieval.runtime
import retrieval.upright
import retrieval.weights.stored
from retrieval.data.manifest import ImageRow
from retrieval.encoder import Encoder, Encodings
from retrieval.evaluation.pairs import Pairs, make_pairs, numbered
from retrieval.normalisation import Population
from retrieval.verification import Verifier

_CHUNK = 64

Images = npt.NDArray[np.uint8]
Encoded = tuple[Sequence[ImageRow], "Encodings | Codes"]


@dataclass(frozen=True)
class Codes:
    """What evaluation needs of n images: embedding float32 (n, d), code uint8 (n, bits/8), suitable bool (n,)."""

    embedding: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]
    suitable: npt.NDArray[np.bool_]

    def chosen(self, positions: Sequence[int]) -> Codes:
        """Only the images at these positions."""
        at = list(positions)
        return Codes(self.embedding[at], self.code[at], self.suitable[at])


def encode_all(encoder: Encoder, images: Images, name: str, put_right: bool = True) -> Encodings:
    """Encode prepared images uint8 (n, h, w) with a progress bar on standard error; `put_right`: see `Encoder`."""
    encode = encoder.encode if put_right else encoder.as_given
    starts = range(0, len(images), _CHUNK)
    shown = track(starts, description=f"encoding {name}", console=Console(stderr=True))
    return Encodings.joined([encode(images[i : i + _CHUNK]) for i in shown])


def dataset_pairs(
    rows: Sequence[ImageRow],
    encodings: Encodings | Codes,
    verifier: Verifier | None = None,
    population: Population | None = None,
) -> Pairs:
    """All fair pairs of encoded images, in the order of `rows`; see `make_pairs`."""
    patients = numbered([row.patient for row in rows])
    return make_pairs(encodings.embedding, encodings.code, patients, [row.view for row in rows], verifier, population)


def pairs_by_kind(
    encoded: Mapping[str, Encoded], verifier: Verifier | None = None
) -> tuple[dict[str, Pairs], Population]:
    """All fair pairs of each kind of patients, normalised alike, and the population with which they are.

    Raises:
        CalibrationInvalid: no kind has images of two persons.
    """
    population = Population.measured(
        (found.embedding, numbered([row.patient for row in rows])) for rows, found in encoded.values()
    )
    return {kind: dataset_pairs(*both, verifier, population) for kind, both in encoded.items()}, population


def codes_of(encoder: Encoder, images: Images, name: str, cache: Path) -> Codes:
    """Encode prepared images uint8 (n, h, w), or read what an earlier run found for the same pixels and network.

    What was found is used again only if the network computed in the same precision, by the same code.

    Args:
        name: for the progress bar. cache: folder; made if absent.
    """
    path = cache / f"codes-{encoder.model_id}-{encoder.precision}-{_fingerprint(images)}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return Codes(stored["embedding"], stored["code"], stored["suitable"])
    found = encode_all(encoder, images, name)
    codes = Codes(found.embedding, found.code, found.gate.suitable)
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, embedding=codes.embedding, code=codes.code, suitable=codes.suitable)
    partial.rename(path)
    return codes


def kept_vectors(
    cache: Path, name: str, images: Images, compute: Callable[[], npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """Vectors float32 (n, d) of prepared images, computed or read from the folder; `name` says what makes them."""
    path = cache / f"vectors-{name}-{_fingerprint(images)}.npy"
    if path.is_file():
        stored: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
        return stored
    vectors = compute()
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, vectors)
    partial.rename(path)
    return vectors


def _fingerprint(images: Images) -> str:
    """Of the pixels and of the code that encodes them."""
    digest = hashlib.sha256()
    for path in _encoding_code():
        digest.update(path.read_bytes())
    for start in range(0, len(images), _CHUNK):
        digest.update(images[start : start + _CHUNK].tobytes())
    return digest.hexdigest()[:16]


@functools.cache
def _encoding_code() -> tuple[Path, ...]:
    """The files that decide what an image is encoded to."""
    return (
        *(
            Path(str(module.__file__))
            for module in (
                retrieval.encoder,
                retrieval.runtime,
                retrieval.gate,
                retrieval.codes,
                retrieval.upright,
                retrieval.weights.stored,
            )
        ),
        *sorted(Path(str(retrieval.networks.__file__)).parent.glob("*.py")),
    )
