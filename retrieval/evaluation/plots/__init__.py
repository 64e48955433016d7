"""Pictures of an evaluation, one PNG each, drawn without a display."""

from __future__ import annotations

from retrieval.evaluation.plots.examples import draw_changes
from retrieval.evaluation.plots.histograms import draw_histograms
from retrieval.evaluation.plots.hits import draw_hits
from retrieval.evaluation.plots.reliability import draw_reliability
from retrieval.evaluation.plots.roc import draw_roc
from retrieval.evaluation.plots.worst import draw_worst

__all__ = ["draw_changes", "draw_histograms", "draw_hits", "draw_reliability", "draw_roc", "draw_worst"]
