"""Everything an evaluation leaves in its folder: figures, pictures, and the report that shows both."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from retrieval.evaluation import plots
from retrieval.evaluation.facts import facts_of
from retrieval.evaluation.limits import limits
from retrieval.evaluation.markdown import write_markdown
from retrieval.evaluation.plots.worst import WorstPair, worst_pairs
from retrieval.evaluation.report import write
from retrieval.evaluation.run import EMBEDDING, Evaluation


def write_all(evaluation: Evaluation, folder: Path) -> Path:
    """Write `recognition.csv`, `recognition.json`, the pictures, `worst_pairs.csv` and `report.md`; return the last.

    Neither Patient IDs nor file names are written; `worst_pairs.csv` names rows of the manifest by number.

    Args:
        folder: made if absent; files of an earlier run are replaced.
    """
    report = evaluation.report
    folder.mkdir(parents=True, exist_ok=True)
    write(report, folder)
    found = worst_pairs(evaluation.cohorts, evaluation.pairs)
    _write_worst(found, evaluation.lines, folder / "worst_pairs.csv")
    pictures: dict[str, Callable[[Path], Path]] = {
        "roc.png": lambda path: plots.draw_roc(evaluation.curves, report.figures, path),
        "hits.png": lambda path: plots.draw_hits(evaluation.curves, evaluation.cohorts, path),
        "histograms.png": lambda path: plots.draw_histograms(evaluation.pairs, path),
    }
    if evaluation.reliability:
        pictures["reliability.png"] = lambda path: plots.draw_reliability(evaluation.reliability, path)
    if found:
        pictures["worst.png"] = lambda path: plots.draw_worst(found, evaluation.images, path)
    if report.shortcuts:
        pictures["shortcuts.png"] = lambda path: plots.draw_changes(evaluation.images, path)
    for name, draw in track(pictures.items(), description="drawing pictures", console=Console(stderr=True)):
        draw(folder / name)
    known = [facts_of(cohort, evaluation.pairs[cohort.name]) for cohort in evaluation.cohorts]
    return write_markdown(report, limits(report, known, evaluation.learned, EMBEDDING), folder)


def _write_worst(found: Sequence[WorstPair], lines: Sequence[int], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("number", "dataset", "same", "cosine", "row_a", "row_b"))
        for pair in found:
            rows = lines[pair.first], lines[pair.second]
            writer.writerow((pair.number, pair.dataset, int(pair.same), f"{pair.cosine:.4f}", *rows))
