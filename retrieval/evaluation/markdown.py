"""The report that people read: tables, pictures and limits, as `report.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from retrieval.evaluation.cohort import TOGETHER
from retrieval.evaluation.protocol import LENGTHS
from retrieval.evaluation.report import Report, origin_of, share, spanned
from retrieval.evaluation.shortcuts import BOTH, ONE, ShortcutFigures

PICTURES = {
    "roc.png": "ROC: bars are 95 % intervals at the rates of the table",
    "hits.png": "The right person among the first k",
    "histograms.png": "Scores of pairs of one person and of two",
    "reliability.png": "Said and true probability",
    "worst.png": "Worst errors",
    "shortcuts.png": "One image under every change",
}


def write_markdown(report: Report, limits: Sequence[str], folder: Path) -> Path:
    """Write `report.md` with the tables, those pictures that are in the folder, and the limits."""
    parts = [
        f"# Recognition: {report.weights}, {report.split} patients",
        ", ".join(f"{key} {value}" for key, value in origin_of(report).items()),
        "Every figure is defined in docs/recognition.md of Lungprint. Brackets: 95 % interval when patients are drawn "
        "again. A dash: not measurable on so few pairs.",
        "**Keep this folder as safe as the images:** the pictures show X-rays, and letters burned into them may name a "
        "patient.",
        "## Same person or not",
        *_verification(report),
        *_picture("roc.png", folder),
        *_picture("histograms.png", folder),
        "## Search and swaps",
        *_search(report),
        *_picture("hits.png", folder),
        *_findings(report),
        *_pairs(report),
        *_shortcuts(report, folder),
        "## Gate and calibration",
        *_gate(report),
        *_picture("reliability.png", folder),
        "## Worst errors",
        "Numbers are those of `worst_pairs.csv`, which names rows of the manifest; the first below its heading is 1.",
        *_picture("worst.png", folder),
        "## What would make these figures wrong in a hospital",
        "\n".join(f"- {sentence}" for sentence in limits),
    ]
    path = folder / "report.md"
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], words: int = 2) -> str:
    """A Markdown table; the first `words` columns are aligned left, the others right."""
    marks = ["---" if i < words else "---:" for i in range(len(heading))]
    cells = [heading, marks, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells)


def _verification(report: Report) -> Iterator[str]:
    heading = ("dataset", "method", "patients", "pairs of one", "of two", "AUC", "TPR@1e-2", "@1e-3", "@1e-4", "EER")
    rows = [
        (
            f.dataset,
            f.method,
            str(f.patients),
            str(f.same_pairs),
            f"{f.different_pairs:,}",
            spanned(f.auc, f.auc_low, f.auc_high),
            spanned(f.tpr_at_fpr_1e2, f.tpr_at_fpr_1e2_low, f.tpr_at_fpr_1e2_high),
            spanned(f.tpr_at_fpr_1e3, f.tpr_at_fpr_1e3_low, f.tpr_at_fpr_1e3_high),
            share(f.tpr_at_fpr_1e4),
            share(f.eer),
        )
        for f in report.figures
    ]
    yield table(heading, rows)
    matched = [
        (
            f.dataset,
            f.method,
            str(f.matched_same_pairs),
            f"{f.matched_different_pairs:,}",
            spanned(f.auc_matched, f.auc_matched_low, f.auc_matched_high),
            share(f.auc),
        )
        for f in report.figures
        if f.matched_same_pairs and f.matched_different_pairs and f.dataset != TOGETHER
    ]
    if matched:
        yield "Two persons only if of one sex and age (± 3 years), all images with known sex and age:"
        yield table(("dataset", "method", "pairs of one", "of two", "AUC, matched", "AUC above"), matched)


def _search(report: Report) -> Iterator[str]:
    hits = tuple(f"hit@{length}" for length in LENGTHS)
    rows = [
        (
            f.dataset,
            f.method,
            str(f.queries),
            spanned(f.precision_at_1, f.precision_at_1_low, f.precision_at_1_high),
            *(share(getattr(f, f"hit_at_{length}")) for length in LENGTHS),
            share(f.map_at_r),
            spanned(f.swaps_at_fa_1, f.swaps_at_fa_1_low, f.swaps_at_fa_1_high),
            spanned(f.swaps_at_fa_5, f.swaps_at_fa_5_low, f.swaps_at_fa_5_high),
        )
        for f in report.figures
    ]
    yield table(("dataset", "method", "queries", "P@1", *hits, "mAP@R", "swaps, 1 % false", "swaps, 5 %"), rows)


def _findings(report: Report) -> Iterator[str]:
    if report.findings:
        yield "## Search by findings"
        heading = ("dataset", "method", "queries", "findings", "mAP", "nDCG@100")
        yield table(
            heading,
            [
                (
                    f.dataset,
                    f.method,
                    str(f.queries),
                    str(f.findings),
                    spanned(f.mean_average_precision, f.map_low, f.map_high),
                    share(f.ndcg_at_100),
                )
                for f in report.findings
            ],
        )


def _pairs(report: Report) -> Iterator[str]:
    if report.pairs:
        one = report.pairs[0]
        yield "## The given list of pairs"
        yield (
            f"{one.same_pairs} pairs of one person and {one.different_pairs} of two, {one.patients} patients; every "
            f"pair counts once. In {one.contradicted} pairs list and manifest disagree on the "
            "patients; the list is believed."
        )
        yield table(
            ("list", "method", "AUC", "AUC, one vote a patient", "TPR@1e-2", "@1e-3", "@1e-4", "EER"),
            [
                (
                    "pairs",
                    f.method,
                    spanned(f.auc, f.auc_low, f.auc_high),
                    share(f.auc_by_patient),
                    spanned(f.tpr_at_fpr_1e2, f.tpr_at_fpr_1e2_low, f.tpr_at_fpr_1e2_high),
                    spanned(f.tpr_at_fpr_1e3, f.tpr_at_fpr_1e3_low, f.tpr_at_fpr_1e3_high),
                    share(f.tpr_at_fpr_1e4),
                    spanned(f.eer, f.eer_low, f.eer_high),
                )
                for f in report.pairs
            ],
        )


def _shortcuts(report: Report, folder: Path) -> Iterator[str]:
    if report.shortcuts:
        yield "## Is the person recognised, or the letters, borders and contrast?"
        yield (
            "Up to a few hundred images of each dataset, unchanged and changed. The first table: recognition should "
            "stay (a change near 0). The second: only the surroundings are left, and recognition should fall towards "
            "chance (AUC 0.5); what remains above it is told by letters, borders, shoulders and neck."
        )
        for keeps in (True, False):
            rows = [_shortcut(f) for f in report.shortcuts if f.keeps_person is keeps]
            yield table(("change", "of", "dataset", "AUC", "change of AUC", "P@1", "change of P@1"), rows, words=3)
        yield from _picture("shortcuts.png", folder)


def _shortcut(f: ShortcutFigures) -> tuple[str, ...]:
    return (
        f.title,
        {BOTH: "both", ONE: "one of a pair"}[f.changed],
        f.dataset,
        share(f.auc),
        _signed(f.auc_change, f.auc_change_low, f.auc_change_high),
        share(f.precision_at_1),
        _signed(f.precision_at_1_change, f.precision_at_1_change_low, f.precision_at_1_change_high),
    )


def _signed(value: float, low: float, high: float) -> str:
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def _gate(report: Report) -> Iterator[str]:
    errors = {row.dataset: row for row in report.calibration}
    rows = [
        (
            gate.dataset,
            str(gate.images),
            share(gate.suitable),
            share(errors[gate.dataset].expected_calibration_error) if gate.dataset in errors else "–",
            share(errors[gate.dataset].brier) if gate.dataset in errors else "–",
        )
        for gate in report.gate
    ]
    yield table(("dataset", "images", "let through", "calibration error", "Brier"), rows)


def _picture(name: str, folder: Path) -> Iterator[str]:
    if (folder / name).is_file():
        yield f"![{PICTURES[name]}]({name})"
