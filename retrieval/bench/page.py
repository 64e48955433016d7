"""The page that people read: who recognises persons, by how much, at what price, and what that does not show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.bench.columns import COSTS, DECISION, FIELD, FINDINGS, IDENTITY, LEFT, SPAN, Column, cells
from retrieval.bench.hashing.tables import p4_tables
from retrieval.bench.lead import Lead, leads
from retrieval.bench.papers import margin_table, negatives_table, siamese_table
from retrieval.bench.results import Line, Results
from retrieval.evaluation.markdown import table

_WORDS = len(LEFT)


def page(results: Results, picture: str, heat_maps: str = "") -> str:
    """The page as Markdown.

    Args:
        picture, heat_maps: where these pictures lie, as seen from the page; "" without heat maps.
    """
    parts = [
        "# Methods side by side",
        _opening(results),
        f"![AUC and P@1 of each method]({picture})",
        *_ahead(results),
        *_recognition(results),
        *_by_dataset(results),
        *_field(results),
        *_thresholds(results),
        *_findings(results, heat_maps),
        *_costs(results),
        *_papers(results),
        "## What this does not show",
        "\n".join(f"- {sentence}" for sentence in _limits(results)),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(results: Results) -> str:
    o = results.origin
    sizes = ", ".join(
        f"{line.word('dataset')} {line.figure('images'):.0f} ({line.figure('patients'):.0f} patients)"
        for dataset in results.datasets
        for line in _whole(results, dataset)[:1]
    )
    return (
        f"Made on {o.date} with `lungprint bench --profile {o.profile}` on the split {o.split}: {o.machine}, "
        f"torch {o.torch}. In this profile {o.effort}.\n\n"
        f"Images: {sizes}. Whole patients were drawn, more of those with several images. The figures of recognition "
        "are those of recognition.md in Lungprint's documentation. Brackets: 95 % interval when patients are drawn "
        "again. A dash: not measurable here. All methods get the same images, prepared as this product prepares them; "
        "pairs of two persons are of one dataset and view."
    )


def _ahead(results: Results) -> Iterator[str]:
    found = leads(results)
    if not found:
        return
    yield "## How far this product is ahead"
    yield (
        "Its better figure, of the embedding alone or of the calibrated comparison, against the best of all other "
        "methods, column by column."
    )
    known = {lead.heading for lead in found}
    headings = [name for column in IDENTITY if (name := column.heading.removesuffix(SPAN)) in known]
    rows = []
    for dataset in results.datasets:
        mine = {lead.heading: lead for lead in found if lead.dataset == dataset}
        rows.append([dataset, *(f"{mine[name].ahead:+.3f}" if name in mine else "–" for name in headings)])
    yield table(("dataset", *headings), rows, words=1)
    together = results.datasets[-1]
    yield (
        f"On the images of {_named(together)}: "
        + "; ".join(
            f"{lead.heading} {lead.mine:.3f} against {lead.best:.3f} ({lead.name})"
            for lead in found
            if lead.dataset == together
        )
        + "."
    )
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


def _recognition(results: Results) -> Iterator[str]:
    together = results.datasets[-1]
    yield f"## Recognition: {_named(together)}"
    yield _table(results.of(together), IDENTITY)


def _by_dataset(results: Results) -> Iterator[str]:
    if len(results.datasets) == 1:
        return
    yield "## Recognition by dataset"
    names = results.datasets[:-1]
    rows = []
    for line in results.of(results.datasets[-1]):
        mine = [_same(results.of(name), line) for name in names]
        rows.append([line.word("name"), *(column.cell(one) for one in mine for column in IDENTITY[:3])])
    heading = [f"{name}: {column.heading.removesuffix(SPAN)}" for name in names for column in IDENTITY[:3]]
    yield table(("method", *heading), rows, words=1)


def _field(results: Results) -> Iterator[str]:
    lines = [line for line in results.of(results.datasets[-1]) if "field_auc" in line.figures]
    if not lines:
        return
    first = lines[0]
    yield "## The field's protocol"
    yield (
        "As Packhäuser et al. (2022, Scientific Reports 12, 14851) report: a list of pairs, as many of one person as "
        f"of two (here {first.figure('field_same_pairs'):.0f} and {first.figure('field_different_pairs'):.0f}), each "
        "counted once, and leave-one-out search. Their own network reached AUC 0.994, mAP@R 0.975 and P@1 0.996 on "
        "25,595 images of ChestX-ray14 after training on that dataset. Pairs of two persons are drawn without regard "
        "to sex, age and view, which makes them easier than those of the tables above."
    )
    yield _table(lines, FIELD)


def _thresholds(results: Results) -> Iterator[str]:
    lines = [line for line in results.of(results.datasets[-1]) if "decision_same_mean" in line.figures]
    if not lines:
        return
    yield "## One threshold, from data (P3, tables 7 and 8)"
    yield (
        "Mean similarity of pairs of one person and of two, and how often a threshold is right, both kinds weighing "
        "the same: P3's, midway between the means, and the one that is right most often. Each is learned from one half "
        "of the patients and tried on the other, in turn; P3 took both from the same pairs. Each method has its own "
        "scale; distances are negative."
    )
    yield _table(lines, DECISION)


def _findings(results: Results, heat_maps: str) -> Iterator[str]:
    lines = [line for line in results.of(results.datasets[-1]) if "findings_mean_average_precision" in line.figures]
    if not lines:
        return
    first = lines[0]
    yield "## Search by findings (P4)"
    yield (
        f"{first.figure('findings_queries'):.0f} queries, {first.figure('findings_findings'):.0f} findings, images of "
        "the same patient left out; chance is what equal distances everywhere reach. P4's methods are made for this, "
        "and for this alone."
    )
    yield _table(lines, FINDINGS)
    if heat_maps:
        yield (
            "Where the attention-hash network looks, whole and without a part of its descriptors, as in P4's figure 5: "
            "red is where the weight is largest in this image, blue where it is smallest."
        )
        yield f"![Attention over a few of the images]({heat_maps})"
    else:
        yield (
            "The command also draws where the attention-hash network looks (P4's figure 5), as `heat-maps.png` in its "
            "folder."
        )


def _costs(results: Results) -> Iterator[str]:
    yield "## Time and memory"
    yield (
        "Processor time, all threads together. A comparison is one of two represented images, many at a time. Memory "
        "is by how much the process grew while it represented or compared the images; what was already held from "
        "methods before is not counted again, so a method that comes early looks dearer. Bytes are what is kept of it."
    )
    yield _table(results.of(results.datasets[-1]), COSTS)


def _papers(results: Results) -> Iterator[str]:
    lines = results.of(results.datasets[-1])
    own = [one for one in (negatives_table(lines), margin_table(lines), siamese_table(lines)) if one is not None]
    own += p4_tables(results)
    if not own and not results.tables:
        return
    yield "## Tables of single papers"
    for one in (*own, *results.tables):
        yield f"### {one.title}"
        yield table(one.heading, one.rows, words=1)


def _limits(results: Results) -> Iterator[str]:
    lines = results.of(results.datasets[-1])
    learned = {line.word("learned") for line in lines}
    yield (
        "The methods are measured on the images named here, not on those of their papers. A method made for another "
        "task (photographs of packages, search by findings) is not refuted by failing at this one."
    )
    if trained := sorted({word.partition(" on ")[0] for word in learned if " steps on " in word}):
        yield (
            f"The networks of P1, P3 and P4 were trained for {' or '.join(trained)} here, those of the papers for "
            "thousands. At so few their rows say what it costs to run such a network and next to nothing of how well "
            "it could recognise; order among them, by margin or by negatives, is chance. `--profile full` trains "
            "longer and needs a GPU."
            if results.origin.profile != "full"
            else f"The networks of P1, P3 and P4 were trained for {' or '.join(trained)} here, as the column says."
        )
    if any("random weights" in word for word in learned):
        yield (
            "Rows with random weights started without ImageNet weights, which the papers had. `--pretrained` downloads "
            "them where there is a network; `--backbone-weights` takes files."
        )
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
    yield (
        f"{images:.0f} images are few: where intervals overlap the order may be chance, and among thousands of "
        "strangers every search finds less."
    )
    yield (
        "Methods with the gate are measured on the images that pass it: both of a pair must. P3 asks that one of the "
        "two passes, and its gate is a network for packages, ours one for chest images."
    )


def _table(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    return table((*LEFT, *(column.heading for column in columns)), [cells(line, columns) for line in lines], _WORDS)


def _whole(results: Results, dataset: str) -> list[Line]:
    """Lines of methods that compare all images; those with a gate leave some out."""
    most = max(line.figure("images") for line in results.of(dataset))
    return [line for line in results.of(dataset) if line.figure("images") == most]


def _same(lines: Sequence[Line], wanted: Line) -> Line:
    return next(line for line in lines if line.word("key") == wanted.word("key"))


def _named(dataset: str) -> str:
    return "all datasets together" if dataset == "all" else dataset
