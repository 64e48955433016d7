"""What would make the figures of this run wrong in a hospital, from the run's own facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from retrieval.data.manifest import Split
from retrieval.evaluation.cohort import TOGETHER
from retrieval.evaluation.facts import Facts
from retrieval.evaluation.findings_figures import CHANCE, FINDINGS_HALF
from retrieval.evaluation.protocol import Figures
from retrieval.evaluation.report import Report, share

_FEW_PATIENTS = 100
_WIDE = 0.05
_ARCHIVE = 1_000_000
_UNCALIBRATED = 0.1


def limits(report: Report, facts: Sequence[Facts], learned: Sequence[str], method: str) -> list[str]:
    """Sentences, each from a figure or fact of the run.

    Args:
        facts: of every cohort. learned: datasets that the network was trained on. method: the figures to speak of.
    """
    figures = {row.dataset: row for row in report.figures if row.method == method}
    said = list(_of_the_run(report, facts, learned))
    for known in facts:
        if known.dataset != TOGETHER or len(facts) == 1:
            said += _of_dataset(known, figures[known.dataset])
    passing = [f"{_at(row.tpr_at_fpr_1e3)} in `{name}`" for name, row in figures.items()]
    said.append(
        f"At a threshold with a false positive rate of 1e-3, an archive of {_ARCHIVE:,} images gives "
        f"{_ARCHIVE // 1000:,} false matches for each new image. True pairs that pass it: {', '.join(passing)}."
    )
    errors = {row.dataset: row.expected_calibration_error for row in report.calibration}
    off = [f"`{name}` {error:.2f}" for name, error in errors.items() if error > _UNCALIBRATED]
    if off:
        said.append(
            f"The calibrated probability is off by more than {_UNCALIBRATED} on average for {', '.join(off)}: "
            "alerts would be ranked wrongly there until the calibration is fitted on the site's own archive."
        )
    said += _of_findings(report)
    return said


def _of_findings(report: Report) -> Iterator[str]:
    measured = {(row.dataset, row.method): row for row in report.findings}
    for (name, method), row in measured.items():
        chance = measured.get((name, CHANCE))
        if method != FINDINGS_HALF or chance is None or row.map_low > chance.mean_average_precision:
            continue
        yield (
            f"`{name}`: similar cases by findings are no better than drawn by lot (mAP {share(row.map_low)} to "
            f"{share(row.map_high)}, chance {share(chance.mean_average_precision)}): the code knows "
            "the findings it learned, on images like those it learned from."
        )


def _of_the_run(report: Report, facts: Sequence[Facts], learned: Sequence[str]) -> Iterator[str]:
    if report.split == Split.TRAIN.value:
        yield (
            "**These are patients the network learned from.** The figures say how well it remembers, not how well it "
            "recognises people it has never seen."
        )
    elif report.split == Split.VAL.value:
        yield "These are validation patients: thresholds and calibration were chosen on them, so the figures flatter."
    names = [known.dataset for known in facts if known.dataset != TOGETHER]
    known, foreign = [n for n in names if n in learned], [n for n in names if n not in learned]
    if not learned:
        yield "The card of the weights does not say which datasets it learned from, so none can be called foreign."
    elif known:
        yield (
            f"The network learned from other patients of {_listed(known)}: the same machines, habits and years. "
            + (f"Only {_listed(foreign)} comes from elsewhere; " if foreign else "No dataset comes from elsewhere; ")
            + "a hospital is elsewhere."
        )
    together = next((k for k in facts if k.dataset == TOGETHER), None)
    if together is not None:
        largest = max((k for k in facts if k.dataset != TOGETHER), key=lambda k: k.images)
        if largest.images > together.images / 2:
            yield (
                f"Of the images in `{TOGETHER}`, {largest.images / together.images:.0%} come from `{largest.dataset}`: "
                "the line for all together speaks mostly of it."
            )


def _of_dataset(known: Facts, figures: Figures) -> Iterator[str]:
    name = f"`{known.dataset}`"
    width = figures.auc_high - figures.auc_low
    if known.speaking < _FEW_PATIENTS:
        yield (
            f"{name}: {known.speaking} of {known.patients} patients have two images or more, and only these tell how "
            f"often one person is recognised"
            + (
                f"; the AUC may as well be {share(figures.auc_low)} as {share(figures.auc_high)}."
                if width > _WIDE
                else "."
            )
        )
    if known.same_pairs and known.half_from <= max(3, known.speaking // 10):
        yield (
            f"{name}: half of the {known.same_pairs} pairs of one person come from {_patients(known.half_from)} of "
            f"{known.speaking} (the first of them {known.largest_share:.0%}). AUC, TPR and EER give every patient one "
            f"vote; P@1, hits and swaps go by image (P@1 by patient: {share(figures.precision_at_1_by_patient)})."
        )
    if known.different_pairs:
        yield (
            f"{name}: with {known.different_pairs:,} pairs of two persons, false matches rarer than 1 in "
            f"{known.different_pairs:,} cannot be seen."
        )
    yield from _of_people(name, known, figures)
    if known.close_strangers:
        yield (
            f"{name}: pairs of two persons that score above nine of ten pairs of one: {known.close_strangers}. Some "
            "may be one person under two numbers: look at the contact sheet before believing or blaming the network."
        )


def _of_people(name: str, known: Facts, figures: Figures) -> Iterator[str]:
    if known.aged == 0:
        yield (
            f"{name}: the manifest holds no ages, so it is not known how well children, who grow, and adults are told "
            "apart, nor how much of the figures is age."
        )
    elif not np.isnan(known.children):
        yield f"{name}: of {known.aged:.0%} of the images the age is known; {known.children:.0%} of these are under 18."
    if figures.matched_different_pairs and np.isfinite([figures.auc_matched, figures.auc]).all():
        yield (
            f"{name}: when two persons are only compared if they are of one sex and age (± 3 years), the AUC is "
            f"{share(figures.auc_matched)} instead of {share(figures.auc)} ({figures.matched_same_pairs} and "
            f"{figures.matched_different_pairs} pairs)."
        )
    elif known.same_pairs:
        yield f"{name}: sex and age are not known well enough to match on them; some of the AUC may come from these."
    if known.dated > 0:
        yield (
            f"{name}: the two images of one person are {known.days:.0f} days apart (median, known for "
            f"{known.dated:.0%} of the pairs). A prior in an archive may be years older."
        )
    elif known.same_pairs:
        yield f"{name}: how much time lies between two images of one person is not known."
    if known.across_views > 0:
        yield f"{name}: {known.across_views:.0%} of the pairs of one person were taken in two views."


def _at(value: float) -> str:
    return "an unknown share (too few pairs)" if np.isnan(value) else f"{value:.0%}"


def _patients(count: int) -> str:
    return "one patient" if count == 1 else f"{count} patients"


def _listed(names: Sequence[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " and " + quoted[-1]
