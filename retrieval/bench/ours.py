"""This product's own encoder as one of the methods."""

from __future__ import annotations

import numpy as np

from retrieval.bench.method import About, ImageMethod, Images, Matrix
from retrieval.calibration import Calibration, calibration_beside
from retrieval.comparison import Comparer
from retrieval.encoder import Encoder, Encodings
from retrieval.verification import read_verifier
from retrieval.weights import find_weights, read_card

SOURCE = "this product"
_LEARNED = "chests of training patients"


class _Encoded(ImageMethod[Encodings]):
    """A way to compare what the encoder gives.

    Args:
        encoder: a loaded network.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def represent(self, images: Images) -> Encodings:
        """Everything that the encoder gives."""
        return self._encoder.encode(images)

    def chosen(self, represented: Encodings, positions: list[int]) -> Encodings:
        """Only the images at these positions."""
        return represented.chosen(positions)


class OurEmbedding(_Encoded):
    """Cosine of the embeddings."""

    about = About("lungprint", "Lungprint, embedding", SOURCE, _LEARNED)

    def similarity(self, first: Encodings, second: Encodings) -> Matrix:
        """Cosines float32 (n, m)."""
        return np.asarray(first.embedding @ second.embedding.T, dtype=np.float32)

    def nbytes(self, represented: Encodings) -> int:
        """Size of the embeddings; nothing else is compared."""
        return represented.embedding.nbytes


class OurVerdict(_Encoded):
    """Cosine and hash code of two images by themselves, weighed by the calibration.

    A verdict also holds the cosine against strangers of the gallery, which takes Patient IDs; no method here gets them.

    Args:
        encoder: a loaded network. weights: its name or path; the calibration lies beside.
    """

    about = About("lungprint-calibrated", "Lungprint, calibrated", SOURCE, _LEARNED)

    def __init__(self, encoder: Encoder, weights: str) -> None:
        super().__init__(encoder)
        path = find_weights(weights)
        self._comparer = Comparer(Calibration.load(calibration_beside(path)), read_verifier(path, read_card(path).dim))

    def similarity(self, first: Encodings, second: Encodings) -> Matrix:
        """Natural-log likelihood ratios float32 (n, m)."""
        rows = [
            self._comparer.compare(embedding, code, second.embedding, second.code).log_ratio
            for embedding, code in zip(first.embedding, first.code, strict=True)
        ]
        return np.stack(rows).astype(np.float32)

    def nbytes(self, represented: Encodings) -> int:
        """Size of embeddings and codes; the attention map is not compared."""
        return represented.embedding.nbytes + represented.code.nbytes
