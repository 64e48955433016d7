"""What a comparison does not show, and how the papers were read where they leave room."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.bench.families import families
from retrieval.bench.lead import OURS
from retrieval.bench.results import Line, Results

_STEPS = re.compile(r"^(\d+(?: of \d+)?) steps o[fn] .* (ImageNet|random weights)$")


def limits(results: Results) -> Iterator[str]:
    """Sentences about what must not be concluded."""
    lines = results.of(results.datasets[-1])
    yield (
        "The methods are measured on the images named here, not on those of their papers. A method made for another "
        "task (photographs of packages, search by findings) is not refuted by failing at this one."
    )
    yield from _training(results, lines)
    yield (
        "This product's network learned from other patients of the same public data sets, so hospitals, scanners and "
        "selection are known to it. Methods that learned nothing from chests stand beside it. At another hospital all "
        "figures, its own above all, may be lower."
    )
    if any(line.word("key") == "lungprint-calibrated" for line in lines):
        yield (
            "The calibrated comparison knows two images alone here, so it orders pairs much as the embedding does. A "
            "verdict also holds them against strangers of the archive; the evaluation of recognition.md does so too."
        )
    alike = [line.word("name") for line in lines if line.figure("auc_low") == line.figure("auc_high") == 0.5]
    if alike:
        yield (
            f"{'; '.join(alike)}: every image got the same code or nearly so, which such networks are known for when "
            "they learn for so short a time. Their rows are what was measured."
        )
    images = max(line.figure("images") for line in lines)
    smallest = min(results.datasets, key=lambda name: max(line.figure("patients") for line in results.of(name)))
    few = max(line.figure("patients") for line in results.of(smallest))
    yield (
        f"{images:,.0f} images are few, and {smallest} has {few:.0f} patients: where intervals overlap the order may "
        "be chance, and among thousands of strangers every search finds less."
    )
    if any(line.word("key").endswith("-gated") for line in lines):
        yield (
            "Methods with the gate are measured on the images that pass it: both of a pair must. P3 asks that one of "
            "the two passes, and its gate is a network for packages, ours one for chest images."
        )


def readings(results: Results) -> Iterator[str]:
    """Sentences about choices that a paper does not print, or that differ from it."""
    present = {kind.name for kind in families(results)}
    if "classic Siamese network" in present:
        yield (
            "P3 and P1: embeddings are pooled, projected to 256 numbers and brought to unit length; P3 flattens the "
            "whole map. So its margin 2, which eq. 22 holds against the squared distance, asks two persons to be at a "
            "right angle. Thresholds are learned from other patients than they are tried on. The papers' augmentation "
            "by flips is left out: a flipped chest is another anatomy."
        )
    if "global hashes" in present:
        yield (
            "P3's hashes are the library imagehash's: pHash compares with the median of the coefficients where the "
            "paper says mean. Keypoints count if each is the other's nearest; the paper's distance for a match is not "
            "printed."
        )
    if "frozen features" in present:
        yield "P2's Jaccard similarity, printed for sets, is Σ min / Σ max of features here: they are never below zero."
    if "attention hash codes" in present:
        yield (
            "P4's margin is not printed: √(2·bits) is taken, at which two codes differ in half of their bits. Pairs "
            "are all of a batch; pairs that share a finding and pairs that share none weigh the same."
        )
    if "deep hash codes" in present:
        yield (
            "DSH, DRH and ATH have P4's backbone, optimiser and number of steps instead of their own, so that the loss "
            "alone differs. DRH's formulas could not be looked up again: its abstract (arXiv 1612.05400) names a loss "
            "of neighbourhood components, quantisation and regularised bits. These are read as 1 − Σ pᵢⱼ·sᵢⱼ/n with p "
            "the softmax of negative squared distances, log cosh(|z| − 1), balanced bits and orthogonal weights, with "
            "the weights 1, 0.05, 0.025 and 0.01. Its row is that reading's."
        )


def _training(results: Results, lines: list[Line]) -> Iterator[str]:
    """What the trained networks began from, and for how long they learned."""
    steps: dict[str, set[str]] = {}
    for line in lines:
        if line.word("group") != OURS and (found := _STEPS.match(line.word("learned"))):
            steps.setdefault(found[2], set()).add(found[1])
    if begun := steps.get("ImageNet"):
        yield (
            f"Networks of P1, P3 and P4 with ImageNet weights learned for {_either(begun)} steps here, those of the "
            "papers for thousands on ten times as many images: what they reach with more is not shown."
        )
    if begun := steps.get("random weights"):
        yield (
            f"Networks that start from random weights learned for {_either(begun)} steps. Unless these are thousands, "
            "their rows say what it costs to run such a network and next to nothing of how well it could recognise; "
            "order among them, by margin or by negatives, is chance. `--pretrained` downloads ImageNet weights where "
            "there is a network, `--backbone-weights` takes files."
        )
    if cut := sorted(word for words in steps.values() for word in words if " of " in word):
        yield (
            f"“{cut[0]} steps” means that the time given with `--hours` was up: the learning rate had not fallen yet. "
            "The same command goes on with these networks."
        )


def _either(steps: set[str]) -> str:
    return " or ".join(sorted(steps, key=lambda text: int(text.split()[0])))
