"""The pages of the comparison are what their committed figures say."""

from __future__ import annotations

from benchmarks.comparison import DETAILS, PAGE, RESULTS, recorded_pages
from retrieval.bench.lead import leads
from retrieval.bench.results import read_results


def test_the_pages_are_up_to_date_with_their_figures() -> None:
    pages = recorded_pages()
    assert set(pages) == {PAGE, DETAILS}
    for path, text in pages.items():
        assert path.read_text(encoding="utf-8") == text


def test_every_group_of_methods_is_on_record() -> None:
    results = read_results(RESULTS)
    assert {line.word("group") for line in results.lines} == {"p1", "p2", "p3", "p4", "p5", "ours"}
    assert all(line.figure("images") > 0 and line.figure("ms_per_image") > 0 for line in results.lines)


def test_this_product_is_first_in_every_identity_column_of_all_images() -> None:
    results = read_results(RESULTS)
    together = [lead for lead in leads(results) if lead.dataset == results.datasets[-1]]
    assert [lead.heading for lead in together if lead.ahead <= 0] == []
    assert len(together) == 12
