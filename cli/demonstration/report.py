"""Prints the demo's score for people and for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from cli.demonstration.score import Score
from cli.demonstration.stream import Planted

OUTCOME = {
    Planted.WRONG_PATIENT: "flagged",
    Planted.DUPLICATE_RECORD: "flagged",
    Planted.DUPLICATE_IMAGE: "flagged",
    Planted.LATERAL: "set aside",
    Planted.NOTHING: "left alone",
}


def show(score: Score, out: Console) -> None:
    """Tables of what was sent and found, each misfiled image, and one sentence that sums up."""
    table = Table("sent", "images", "should be", "found", "missed", "false", title="What was sent, and found")
    for column in table.columns:
        column.no_wrap = True
    for column in (table.columns[1], *table.columns[3:]):
        column.justify = "right"
    for planted, outcome in OUTCOME.items():
        sent, good = score.count(planted)
        false = str(len(score.false)) if planted is Planted.NOTHING else ""
        found, missed = ("", "") if planted is Planted.NOTHING else (str(good), str(sent - good))
        table.add_row(str(planted), str(sent), outcome, found, missed, false)
    out.print(table)
    _show_swaps(score, out)
    if score.echoes:
        out.print(
            f"{len(score.echoes)} more alerts on right images point at a misfiled one, which now is among their priors."
        )
    out.print(verdict(score))


def verdict(score: Score) -> str:
    """One sentence about the run."""
    swapped, found = score.count(Planted.WRONG_PATIENT)
    right, _ = score.count(Planted.NOTHING)
    summary = f"{found} of {swapped} misfiled images flagged, {len(score.false)} false alerts on {right} right ones."
    if score.unsettled:
        return f"{summary} {score.unsettled} images were not processed: see `lungprint status` and the logs."
    return summary if score.succeeded else f"{summary} That is not most of them."


def as_json(score: Score) -> dict[str, Any]:
    """The same for programs: counts by kind, each planted error, and the false alerts."""
    counts = {}
    for planted in Planted:
        sent, good = score.count(planted)
        counts[planted.name.lower()] = {"sent": sent, "as_expected": good}
    return {
        "counts": counts,
        "unsettled": score.unsettled,
        "false_alerts": list(score.false),
        "echoes": list(score.echoes),
        "planted": [
            {
                "planted": find.sent.shot.planted.name.lower(),
                "sop_instance_uid": find.sent.uid,
                "patient_id": find.sent.patient_id,
                "alert": find.alert,
            }
            for find in score.finds
        ],
        "succeeded": score.succeeded,
    }


def _show_swaps(score: Score, out: Console) -> None:
    table = Table("image", "filed under", "alert", "looks like", "probability", title="Each planted error")
    table.columns[-1].justify = "right"
    right = {one.shot.label: one.patient_id for one in score.sent}
    for find in score.finds:
        alert = find.alert
        owner = right.get(find.sent.shot.film.person, "?")
        if alert is None:
            table.add_row(f"{find.sent.shot.number + 1} of {owner}", find.sent.patient_id, "[red]missed[/]", "", "")
        else:
            table.add_row(
                f"{find.sent.shot.number + 1} of {owner}",
                find.sent.patient_id,
                str(alert["kind"]),
                alert["other_patient_id"] or "nobody in particular",
                f"{alert['probability']:.1%}",
            )
    out.print(table)
