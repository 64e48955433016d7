"""The page that people read: who recognises persons, by how much, and what that does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.bench.columns import COSTS, IDENTITY, SPAN, Column
from retrieval.bench.families import Family, families
from retrieval.bench.lead import OURS, Lead, leads
from retrieval.bench.limits import limits, readings
from retrieval.bench.results import Line, Results
from retrieval.evaluation.markdown import table

_SHOWN = ("auc", "precision_at_1", "hit_at_10", "map_at_r", "swaps_at_fa_1", "ms_per_image", "bytes_per_image")


def page(results: Results, picture: str, details: str) -> str:
    """The page as Markdown.

    Args:
        picture, details: where the picture and the page of all tables lie, as seen from this page.
    """
    parts = [
        "# Methods side by side",
        _opening(results),
        *_summary(results, picture, details),
        *_ahead(results),
        "## What this does not show",
        _listed(limits(results)),
        "## How the papers were read",
        _listed(readings(results)),
        "## How it was made",
        _origin(results),
    ]
    return "\n\n".join(parts) + "\n"


def named(dataset: str) -> str:
    """A cohort in a heading."""
    return "all datasets together" if dataset == "all" else dataset


def _opening(results: Results) -> str:
    count = len(results.of(results.datasets[-1]))
    images = max(line.figure("images") for line in results.of(results.datasets[-1]))
    return (
        f"Given two chest X-rays, do they show the same person? {count} published and own methods answer here on the "
        f"same {images:,.0f} images, measured by one protocol, so that their figures can be compared. P1 to P5 are the "
        "papers behind this product: P1 Siamese networks for chest X-rays, P2 frozen ResNet features, P3 classical "
        "against Siamese comparison, P4 attention hashing, P5 max-pooled features with locality-sensitive hashing."
    )


def _summary(results: Results, picture: str, details: str) -> Iterator[str]:
    found = families(results)
    columns = [column for column in (*IDENTITY, *COSTS) if column.field in _SHOWN]
    yield "## In short"
    yield (
        f"The best method of each kind by AUC, on the images of {named(results.datasets[-1])}; choosing the best after "
        f"the fact flatters kinds with many methods. Every method, dataset and figure: [all tables]({details})."
    )
    heading = ("kind", "from", "methods", "best of them", "learned from", *(column.heading for column in columns))
    yield table(heading, [_row(kind, columns) for kind in found], words=5)
    yield f"![AUC and P@1 of the best method of each kind]({picture})"
    yield (
        "AUC: chance that a pair of one person scores higher than a pair of two. P@1: the nearest other image is of "
        "the same person. hit@10: one of the ten nearest is. mAP@R: as P@1, over as many places as the person has "
        "images. Swaps 1 %: images filed under a wrong person that are found when one right image in a hundred is "
        "reported too. Brackets: 95 % interval when patients are drawn again. A dash: not measurable here."
    )


def _row(kind: Family, columns: Sequence[Column]) -> list[str]:
    line = kind.best
    words = [kind.name, kind.source, str(kind.count), line.word("name"), line.word("learned")]
    return [*words, *(column.cell(line) for column in columns)]


def _ahead(results: Results) -> Iterator[str]:
    found = leads(results)
    if not found:
        return
    yield "## How far this product is ahead"
    yield (
        "Its better figure, of the embedding alone or of the calibrated comparison, less the best of all other "
        "methods, column by column, whichever method that is."
    )
    known = {lead.heading for lead in found}
    headings = [name for column in IDENTITY if (name := column.heading.removesuffix(SPAN)) in known]
    rows = []
    for dataset in results.datasets:
        mine = {lead.heading: lead for lead in found if lead.dataset == dataset}
        rows.append([dataset, *(f"{mine[name].ahead:+.3f}" if name in mine else "–" for name in headings)])
    yield table(("dataset", *headings), rows, words=1)
    together = results.datasets[-1]
    yield f"On the images of {named(together)}:"
    rows = [
        [lead.heading, f"{lead.mine:.3f}", f"{lead.best:.3f}", lead.name] for lead in found if lead.dataset == together
    ]
    yield table(("column", "Lungprint", "best other", "whose"), rows, words=1)
    yield _not_first([lead for lead in found if lead.ahead <= 0])


def _not_first(behind: Sequence[Lead]) -> str:
    if not behind:
        return "It is first in every identity column of every dataset."
    said = "; ".join(
        f"{lead.dataset}, {lead.heading}: {lead.mine:.3f} against {lead.best:.3f} of {lead.name}"
        if lead.ahead < 0
        else f"{lead.dataset}, {lead.heading}: {lead.mine:.3f}, as {lead.name}"
        for lead in behind
    )
    return f"It is not alone in the first place here: {said}. Everywhere else it is first."


def _origin(results: Results) -> str:
    o = results.origin
    versions = " and ".join(sorted({line.word("torch") for line in results.lines}))
    sizes = ", ".join(
        f"{line.word('dataset')} {line.figure('images'):,.0f} ({line.figure('patients'):,.0f} patients)"
        for dataset in results.datasets
        for line in _whole(results, dataset)[:1]
    )
    return (
        f"`lungprint bench --profile {o.profile}` on the split {o.split}: {o.machine}, torch {versions}, "
        f"{_days(results)}. In this profile {o.effort}.\n\n"
        f"Images: {sizes}. Where a profile does not compare all, whole patients are drawn, more of those with several "
        "images. Patients are told apart by the numbers of the manifest, also where these are in doubt. All methods "
        "get the same images, prepared as this product prepares them; pairs of two persons are of one dataset and "
        "view. The figures of recognition are those of recognition.md in Lungprint's documentation."
    )


def _days(results: Results) -> str:
    """When rows were measured; this product's apart, where it was measured anew."""
    lines = results.of(results.datasets[-1])
    of_others, of_ours = (
        sorted({line.word("date") for line in lines if (line.word("group") == OURS) is own}) for own in (False, True)
    )
    if of_others and of_ours and of_others != of_ours:
        return f"{' to '.join(of_others)}; Lungprint's own rows {' to '.join(of_ours)}"
    return " to ".join(sorted({*of_others, *of_ours}))


def _whole(results: Results, dataset: str) -> list[Line]:
    """Lines of methods that compare all images; those with a gate leave some out."""
    most = max(line.figure("images") for line in results.of(dataset))
    return [line for line in results.of(dataset) if line.figure("images") == most]


def _listed(sentences: Iterator[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)
