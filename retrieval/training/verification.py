"""Fit P3's verification head on training patients, and keep it only if it tells validation patients apart better."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch.nn.functional import binary_cross_entropy_with_logits

from retrieval.data.augment import Augmentation
from retrieval.data.hard_negatives import AlikeToNetwork, patient_numbers
from retrieval.data.manifest import ImageRow
from retrieval.data.pair_list import PairList, make_pairs
from retrieval.encoder import Encoder
from retrieval.errors import CalibrationInvalid, ManifestInvalid
from retrieval.evaluation.encodings import Encoded, encode_all, pairs_by_kind
from retrieval.evaluation.pairs import Pairs, numbered
from retrieval.evaluation.verification import RankedPairs
from retrieval.networks.verification import VerificationHead
from retrieval.normalisation import Population
from retrieval.training.calibrate import even_odds, fit_calibration, log_loss

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]

_CHUNK = 64
_FALSE_POSITIVE_RATE = 1e-2
_FOLDS = 3
# With fewer held-out patients that have several images, a gain says nothing.
_LEAST_PATIENTS = 20
# A head is one more thing that can be wrong: share of the log loss to save, or true positive rate to gain.
_LEAST_SAVED, _LEAST_GAINED = 0.01, 0.005


@dataclass(frozen=True)
class HeadOptions:
    """How a head is made and trained; the form is the paper's, its signs are not free.

    Attributes:
        hidden, product: see `VerificationHead`.
        monotone: see `VerificationHead.keep_monotone`.
        views: of each image, how many it is seen in: as it is, and augmented. Without these the head would learn
            distances that only images have that the network was trained on.
        partners: of each image, at most so many others of its patient.
        images: of each dataset, about so many at most, of patients that have several.
        steps, batch, rate, decay: optimiser steps, pairs a step, Adam's rate, weight decay.
    """

    hidden: int = 0
    product: bool = False
    monotone: bool = True
    views: int = 4
    partners: int = 4
    images: int = 1000
    steps: int = 400
    batch: int = 1024
    rate: float = 0.01
    decay: float = 0.03


@dataclass(frozen=True)
class Worth:
    """What a way to compare is worth on pairs of patients that it was not fitted on.

    Attributes:
        log_loss: of the calibrated probability at even odds, natural logarithm; ln 2 = knows nothing.
        true_positive_rate: at a false positive rate of 1e-2, in [0, 1], every patient with one vote.
    """

    log_loss: float
    true_positive_rate: float

    def beats(self, other: Worth) -> bool:
        """Clearly better in one and not worse in the other."""
        saved, gained = other.log_loss - self.log_loss, self.true_positive_rate - other.true_positive_rate
        clearly = saved >= _LEAST_SAVED * other.log_loss or gained >= _LEAST_GAINED
        return saved >= 0 and gained >= 0 and clearly


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained head, and what the comparison of validation patients is worth without it and with it."""

    head: VerificationHead
    without: Worth
    fused: Worth

    @property
    def kept(self) -> VerificationHead | None:
        """The head if it is worth keeping."""
        return self.head if self.fused.beats(self.without) else None


def fit_verification(
    encoder: Encoder,
    rows: Sequence[ImageRow],
    images: Images,
    validation: Mapping[str, Encoded],
    shares: Mapping[str, float],
    seed: int,
    options: HeadOptions | None = None,
) -> Fitted | None:
    """Train a head on training patients and measure what it adds on validation patients.

    Args:
        encoder: the finished network.
        rows, images: n images of training patients, uint8 (n, h, h), prepared; some of a large dataset are drawn.
        validation: images of held-out patients with their encodings, by kind of patient.
        shares: by kind, how much it counts, > 0.
        seed: of everything random.
        options: the paper's form, kept monotone, if None.

    Returns:
        None if there are too few patients to learn from or to judge by.

    Source: P3, improved Siamese network, with its pair lists (algorithm 2).
    """
    options = options or HeadOptions()
    try:
        if sum(_with_several(mine) for mine, _ in validation.values()) < _LEAST_PATIENTS:
            raise CalibrationInvalid(f"fewer than {_LEAST_PATIENTS} validation patients have two images.")
        chosen = images_to_learn_from(rows, options.images, seed)
        if not len(chosen):
            raise ManifestInvalid("no training patient has two images.")
        views = augmented_views(encoder, images[chosen], options.views, seed)
        head = train_head(views, [rows[i] for i in chosen], options, seed)
        plain, scored = (pairs_by_kind(validation, verifier) for verifier in (None, head.verifier()))
        bits = encoder.bits // 2
        return Fitted(head, worth(*plain, shares, bits), worth(*scored, shares, bits))
    except (CalibrationInvalid, ManifestInvalid) as error:
        logger.warning("no verification head: %s", error)
        return None


def augmented_views(encoder: Encoder, images: Images, views: int, seed: int) -> Floats:
    """Embeddings float32 (views, n, d) of prepared images uint8 (n, h, h): as they are, then augmented differently."""
    found = [encode_all(encoder, images, "training patients", put_right=False).embedding]
    for view in range(1, views):
        generator = torch.Generator().manual_seed(1_000_003 * seed + view)
        parts = range(0, len(images), _CHUNK)
        shown = track(parts, description=f"encoding them moved, {view} of {views - 1}", console=Console(stderr=True))
        found.append(
            np.concatenate([encoder.as_given(_moved(images[i : i + _CHUNK], generator)).embedding for i in shown])
        )
    return np.stack(found)


def train_head(views: Floats, rows: Sequence[ImageRow], options: HeadOptions, seed: int) -> VerificationHead:
    """Train on pairs of `rows`, drawn so that every patient of a dataset and every dataset counts the same.

    Args:
        views: float32 (views, n, d), unit length, of the n images of `rows`.

    Raises:
        ManifestInvalid: the rows give no pairs.
    """
    pairs = make_pairs(rows, AlikeToNetwork(rows, views[0]), seed, options.partners, quiet=True)
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.from_numpy(views)
    first, second, same = torch.from_numpy(pairs.first), torch.from_numpy(pairs.second), torch.from_numpy(pairs.same)
    chances = torch.from_numpy(_chances(rows, pairs))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = VerificationHead(views.shape[2], options.hidden, options.product)
    optimiser = torch.optim.AdamW(head.parameters(), lr=options.rate, weight_decay=options.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
    for _ in range(options.steps):
        drawn = torch.multinomial(chances, options.batch, replacement=True, generator=generator)
        seen = torch.randint(len(views), (2, options.batch), generator=generator)
        logits = head(embeddings[seen[0], first[drawn]], embeddings[seen[1], second[drawn]])
        cost = binary_cross_entropy_with_logits(logits, same[drawn].float())
        optimiser.zero_grad()
        cost.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        if options.monotone:
            head.keep_monotone()
        schedule.step()
    return head.eval()


def worth(pairs: Mapping[str, Pairs], population: Population, shares: Mapping[str, float], identity_bits: int) -> Worth:
    """What the similarities in pairs of held-out patients are worth when a calibration fuses them.

    The patients are divided into three parts; pairs within one are judged by a calibration fitted on the other two.

    Args:
        population: with which the cosines of the pairs were normalised.

    Raises:
        CalibrationInvalid: too few patients.
    """
    losses, rates = [], []
    for fold in range(_FOLDS):
        rest, part = ({n: _chosen(found, fold, inside) for n, found in pairs.items()} for inside in (False, True))
        calibration = fit_calibration(rest, shares, "", identity_bits, population)
        for name, found in part.items():
            if not found.same.any() or found.same.all():
                continue
            score = calibration.score(found.likeness, found.hamming, found.verification)
            ratio = calibration.log_likelihood_ratio(score)
            ranked = RankedPairs(score, found.same, (found.first_patient, found.second_patient))
            losses.append((shares[name], log_loss(ratio, found.same, even_odds(found))))
            rates.append((shares[name], ranked.operating().true_positive_rate(_FALSE_POSITIVE_RATE)))
    if not losses:
        raise CalibrationInvalid("No part of the held-out patients has pairs of one person and of two.")
    return Worth(
        *(float(np.average([v for _, v in found], weights=[s for s, _ in found])) for found in (losses, rates))
    )


def _with_several(rows: Sequence[ImageRow]) -> int:
    """How many patients have several images."""
    return int((np.bincount(patient_numbers(rows)) > 1).sum())


def images_to_learn_from(rows: Sequence[ImageRow], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Ascending positions of images of patients with several, whole patients by chance, up to `most` of a dataset."""
    patient, dataset = patient_numbers(rows), numbered([row.dataset for row in rows])
    several = np.flatnonzero(np.bincount(patient) > 1)
    taken: list[npt.NDArray[np.int64]] = []
    left = dict.fromkeys(range(int(dataset.max(initial=0)) + 1), most)
    of_patient = {number: np.flatnonzero(patient == number) for number in several.tolist()}
    for number in np.random.default_rng(seed).permutation(several).tolist():
        found = of_patient[number]
        of_dataset = int(dataset[found[0]])
        if left[of_dataset] >= len(found):
            taken.append(found)
            left[of_dataset] -= len(found)
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, np.int64)


def _chances(rows: Sequence[ImageRow], pairs: PairList) -> npt.NDArray[np.float64]:
    """How likely each pair is drawn, float64 (m,), sums to 1."""
    patient, dataset = patient_numbers(rows)[pairs.first], numbered([row.dataset for row in rows])[pairs.first]
    of_patient = np.bincount(patient)[patient]
    patients = np.bincount(dataset, 1.0 / of_patient)[dataset]
    return np.asarray(1.0 / (of_patient * patients * len(np.unique(dataset))), dtype=np.float64)


def _chosen(pairs: Pairs, fold: int, inside: bool) -> Pairs:
    """Pairs whose patients are both in a part of the patients, or both not."""
    first, second = ((numbers % _FOLDS == fold) == inside for numbers in (pairs.first_patient, pairs.second_patient))
    return pairs.chosen(first & second)


def _moved(images: Images, generator: torch.Generator) -> Images:
    grey = Augmentation().apply(torch.from_numpy(images.copy()), images.shape[1], generator)
    return np.asarray((255 * grey[:, 0]).round().byte().numpy())
