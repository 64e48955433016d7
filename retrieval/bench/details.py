"""The page of all tables: every method on every dataset, by every protocol, and the tables of single papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retrieval.bench.columns import COSTS, DECISION, FIELD, FINDINGS, IDENTITY, LEFT, SPAN, Column, cells
from retrieval.bench.extras import merged
from retrieval.bench.hashing.tables import p4_tables
from retrieval.bench.page import named
from retrieval.bench.papers import margin_table, negatives_table, siamese_table
from retrieval.bench.results import Line, Results
from retrieval.evaluation.markdown import table


def details(results: Results, page: str, heat_maps: str = "") -> str:
    """The page as Markdown.

    Args:
        page: where the page that people read lies. heat_maps: where this picture lies; "" without.
    """
    sections = [
        *_recognition(results),
        *_by_dataset(results),
        *_field(results),
        *_thresholds(results),
        *_findings(results, heat_maps),
        *_costs(results),
        *_papers(results),
    ]
    contents = "\n".join(
        f"- [{title}](#{_anchor(title)})" for part in sections if part.startswith("## ") and (title := part[3:])
    )
    opening = f"What came out, what it does not show and how it was made: [Methods side by side]({page})."
    return "\n\n".join(["# Methods side by side: all tables", opening, contents, *sections]) + "\n"


def _anchor(title: str) -> str:
    """As Markdown readers make it of a heading."""
    return "".join(sign for sign in title.lower().replace(" ", "-") if sign.isalnum() or sign in "-_")


def _recognition(results: Results) -> Iterator[str]:
    together = results.datasets[-1]
    yield f"## Recognition: {named(together)}"
    heading = (*LEFT, *(column.heading for column in IDENTITY))
    yield table(heading, [cells(line, IDENTITY) for line in results.of(together)], len(LEFT))


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
        f"{first.figure('findings_queries'):,.0f} queries, {first.figure('findings_findings'):.0f} findings, images of "
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
    for one in (*own, *merged(results.tables)):
        yield f"### {one.title}"
        yield table(one.heading, one.rows, words=1)


def _table(lines: Sequence[Line], columns: Sequence[Column]) -> str:
    heading = ("method", *(column.heading for column in columns))
    return table(heading, [[line.word("name"), *(column.cell(line) for column in columns)] for line in lines], words=1)


def _same(lines: Sequence[Line], wanted: Line) -> Line:
    return next(line for line in lines if line.word("key") == wanted.word("key"))
