"""Puts a comparison's figures on record: CSV and picture into `results/comparison`, the page into `docs/comparison.md`.

Run: `lungprint bench --data MANIFEST -o comparison`, then `python -m benchmarks.comparison comparison`. The heat maps
stay in that folder: they show patients' images.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from retrieval.bench.page import page
from retrieval.bench.picture import draw_comparison
from retrieval.bench.report import PICTURE
from retrieval.bench.results import FIGURES, TABLES, read_results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "comparison"
PAGE = ROOT / "docs" / "comparison.md"


def recorded_page() -> str:
    """The page of the figures on record."""
    return page(read_results(RESULTS), f"../{(RESULTS / PICTURE).relative_to(ROOT).as_posix()}")


def main() -> None:
    """Record a comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder that `lungprint bench` wrote")
    folder = parser.parse_args().folder
    RESULTS.mkdir(exist_ok=True)
    for name in (FIGURES, TABLES):
        shutil.copy(folder / name, RESULTS / name)
    draw_comparison(read_results(RESULTS), RESULTS / PICTURE)
    PAGE.write_text(recorded_page(), encoding="utf-8")
    print(f"{RESULTS} and {PAGE} are written.")


if __name__ == "__main__":
    main()
