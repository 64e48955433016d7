"""Puts a comparison's figures on record: CSV and picture into `results/comparison`, the pages into `docs`.

Run: `lungprint bench --profile full --data MANIFEST -o comparison`, then `python -m benchmarks.comparison comparison`.
The heat maps stay in that folder: they show patients' images. After new weights of this product, it alone is measured:
`lungprint bench ours --beside benchmarks/results/comparison --profile full --data MANIFEST -o comparison`.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from retrieval.bench.details import details
from retrieval.bench.page import page
from retrieval.bench.picture import draw_comparison
from retrieval.bench.report import PICTURE
from retrieval.bench.results import FIGURES, TABLES, read_results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "comparison"
PAGE, DETAILS = ROOT / "docs" / "comparison.md", ROOT / "docs" / "comparison-tables.md"


def recorded_pages() -> dict[Path, str]:
    """The pages of the figures on record, by path."""
    results, picture = read_results(RESULTS), f"../{(RESULTS / PICTURE).relative_to(ROOT).as_posix()}"
    return {PAGE: page(results, picture, DETAILS.name), DETAILS: details(results, PAGE.name)}


def main() -> None:
    """Record a comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that `lungprint bench` wrote")
    folder = parser.parse_args().folder
    RESULTS.mkdir(exist_ok=True)
    for name in (FIGURES, TABLES):
        shutil.copy(folder / name, RESULTS / name)
    draw_comparison(read_results(RESULTS), RESULTS / PICTURE)
    for path, text in recorded_pages().items():
        path.write_text(text, encoding="utf-8")
    print(f"{RESULTS}, {PAGE} and {DETAILS} are written.")


if __name__ == "__main__":
    main()
