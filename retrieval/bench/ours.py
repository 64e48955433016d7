"""This product's own encoder as one of the methods."""

from __future__ import annotations

import numpy as np

from retrieval.bench.method import About, ArrayMethod, ImageMethod, Images, Matrix
from retrieval.calibration import Calibration, calibration_beside
from retrieval.comparison import Comparer
from retrieval.encoder import Encoder, Encodings
from retrieval.verification import read_verifier
from retrieval.weights import find_weights, read_card

_LEARNED = "chests of training patients"


class OurEmbedding(ArrayMethod):
    """Cosine of the embeddings.

    Args:
        encoder: a loaded network.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.about = About("lungprint", "Lungprint, embedding", "this product", _LEARNED)

    def represent(self, images: Images) -> Matrix:
        """Embeddings float32 (n, dim), L2-normalised."""
        return self._encoder.encode(images).embedding

    def similarity(self, first: Matrix, second: Matrix) -> Matrix:
        """Cosines float32 (n, m)."""
        return np.asarray(first @ second.T, dtype=np.float32)


class OurVerdict(ImageMethod[Encodings]):
    """What the product's verdict rests on: cosine and hash code, weighed by the calibration.

    Args:
        encoder: a loaded network. weights: its name or path; the calibration lies beside.
    """

    def __init__(self, encoder: Encoder, weights: str) -> None:
        path = find_weights(weights)
        self._encoder = encoder
        self._comparer = Comparer(Calibration.load(calibration_beside(path)), read_verifier(path, read_card(path).dim))
        self.about = About("lungprint-calibrated", "Lungprint, calibrated", "this product", _LEARNED)

    def represent(self, images: Images) -> Encodings:
        """Everything that the encoder gives."""
        return self._encoder.encode(images)

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

    def chosen(self, represented: Encodings, positions: list[int]) -> Encodings:
        """Only the images at these positions."""
        return represented.chosen(positions)
