"""The list, the review page and decisions."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import select

from archive.database import Database
from archive.models import Alert, Disposition, Instance
from archive.states import AlertKind, AlertState
from tests.archive.filing import file_alert, file_image, file_patient
from tests.dashboard.conftest import Browser
from tests.dashboard.misfiling import Case

Trail = Callable[[], list[tuple[str, str, int | None]]]


def linked(page: str) -> list[int]:
    """Alerts in the order of the list."""
    return [int(number) for number in re.findall(r'class="row" href="/alerts/(\d+)"', page)]


def test_list_is_sorted_and_has_a_tab_for_each_state(qa: Browser, case: Case) -> None:
    page = qa.client.get("/alerts").text
    assert linked(page) == [case.alert, case.weaker_alert]
    assert "Sokolova, Vera" in page
    assert "山田 太郎" in page
    assert "97\u00a0%" in page
    assert linked(qa.client.get("/alerts?tab=held").text) == [case.held_alert]
    assert linked(qa.client.get("/alerts?tab=closed").text) == []
    assert linked(qa.client.get("/alerts?kind=prior_mismatch").text) == [case.weaker_alert]
    assert qa.client.get("/alerts?tab=nothing").status_code == 404


def test_list_is_paged(qa: Browser, database: Database) -> None:
    with database.write() as session:
        patient = file_patient(session, "MRN-9")
        for _ in range(30):
            file_alert(session, file_image(session, patient), probability=0.1)
    assert len(linked(qa.client.get("/alerts").text)) == 25
    assert len(linked(qa.client.get("/alerts?page=2").text)) == 7
    assert "page=2" in qa.client.get("/alerts").text


def test_new_alerts_are_announced_without_keeping_the_session_alive(qa: Browser, case: Case) -> None:
    answer = qa.client.get(f"/alerts/newest?after={case.alert - 1}")
    assert answer.json == {"new": 2}
    assert "Set-Cookie" not in answer.headers
    assert qa.client.get(f"/alerts/newest?after={case.held_alert}").json == {"new": 0}
    assert "Set-Cookie" in qa.client.get("/alerts").headers


def test_review_explains_the_score_and_marks_what_differs(qa: Browser, case: Case) -> None:
    page = qa.client.get(f"/alerts/{case.alert}").text
    assert "Labelled Sokolova, Vera [MRN-1], looks like 山田 太郎 [MRN-2]" in page
    assert (
        "Looks unlike the 3 earlier images of Sokolova, Vera; "
        "the closest of them shows one person with probability 0.4\u00a0%." in page
    )
    assert "Looks like 2 images of 山田 太郎 [MRN-2]" in page
    assert "Compared with 1,234 images of 456 patients." in page
    rows = re.findall(r'<tr class="differs"><th scope="row">([\w ]+)<', page)
    assert rows == ["Patient", "Patient ID", "Birth date", "Sex"]
    assert f'src="/images/{case.probe}/preview"' in page
    assert f'src="/images/{case.rival}/preview"' in page


def test_any_prior_can_be_put_on_the_right_but_no_strangers_image(qa: Browser, case: Case) -> None:
    page = qa.client.get(f"/alerts/{case.alert}?right={case.own_prior}").text
    assert f'src="/images/{case.own_prior}/preview"' in page
    assert f'src="/images/{case.rival}/preview"' not in page
    assert "Earlier image" in page
    assert qa.client.get(f"/alerts/{case.alert}?right={case.stranger}").status_code == 404


def test_alert_without_rival_or_prior_is_shown(qa: Browser, case: Case) -> None:
    page = qa.client.get(f"/alerts/{case.weaker_alert}").text
    assert "There is no earlier image of Smith, John" in page
    assert 'data-side="right"' not in page


def test_decision_is_kept_with_its_note_and_the_next_alert_follows(
    qa: Browser, case: Case, database: Database, audited: Trail
) -> None:
    form = {"csrf_token": qa.token(), "decision": "not_an_error", "seen": "open", "note": "same scar <b>"}
    answer = qa.client.post(f"/alerts/{case.alert}/decision", data=form)
    assert answer.location == f"/alerts/{case.weaker_alert}"
    with database.read() as session:
        kept = session.scalars(select(Disposition)).one()
        assert (kept.decision, kept.note, kept.alert_pk) == (AlertState.NOT_AN_ERROR, "same scar <b>", case.alert)
        assert session.get_one(Alert, case.alert).state is AlertState.NOT_AN_ERROR
    assert ("qa", "alert disposed", case.alert) in audited()
    assert f"Alert {case.alert}: <strong>not an error</strong>" in qa.client.get(answer.location).text
    page = qa.client.get(f"/alerts/{case.alert}").text
    assert "same scar &lt;b&gt;" in page
    assert linked(qa.client.get("/alerts?tab=closed").text) == [case.alert]


def test_after_the_last_alert_the_list_follows(qa: Browser, case: Case) -> None:
    for alert, following in ((case.weaker_alert, f"/alerts/{case.alert}"), (case.alert, "/alerts")):
        form = {"csrf_token": qa.token(), "decision": "confirmed", "seen": "open"}
        assert qa.client.post(f"/alerts/{alert}/decision", data=form).location == following


def test_decision_can_be_taken_back(qa: Browser, case: Case, database: Database) -> None:
    address = f"/alerts/{case.alert}/decision"
    assert qa.post(address, decision="confirmed", seen="open") == 303
    assert qa.post(address, decision="open", seen="confirmed") == 303
    with database.read() as session:
        assert session.get_one(Alert, case.alert).state is AlertState.OPEN


def test_reviewer_who_saw_an_older_state_is_told(qa: Browser, admin: Browser, case: Case, database: Database) -> None:
    address = f"/alerts/{case.alert}/decision"
    assert admin.post(address, decision="confirmed", seen="open") == 303
    assert qa.post(address, decision="not_an_error", seen="open") == 303
    assert "Somebody else has decided" in qa.client.get(f"/alerts/{case.alert}").text
    with database.read() as session:
        assert session.get_one(Alert, case.alert).state is AlertState.CONFIRMED


def test_nonsense_is_refused(qa: Browser, case: Case) -> None:
    address = f"/alerts/{case.alert}/decision"
    assert qa.post(address, decision="held", seen="open") == 400
    assert qa.post(address, decision="confirmed", seen="whatever") == 400
    assert qa.post("/alerts/999/decision", decision="confirmed", seen="open") == 404
    assert qa.client.get("/alerts/999").status_code == 404
    assert qa.post(address, decision="confirmed", seen="open", note="x" * 70_000) == 413


def test_each_view_is_audited_for_every_patient_shown(qa: Browser, case: Case, audited: Trail) -> None:
    qa.client.get("/alerts")
    listed = [event for event in audited() if event[1] == "alert listed"]
    assert listed == [
        ("qa", "alert listed", case.alert),
        ("qa", "alert listed", case.alert),
        ("qa", "alert listed", case.weaker_alert),
    ]
    before = len(audited())
    qa.client.get(f"/alerts/{case.alert}")
    seen = audited()[before:]
    assert seen.count(("qa", "alert viewed", case.alert)) == 2
    assert {key for _, action, key in seen if action == "image listed"} >= {case.probe, case.own_prior, case.rival}


def test_what_an_audit_found_has_a_list_of_its_own(qa: Browser, case: Case, database: Database) -> None:
    with database.write() as session:
        ids = [
            file_alert(session, session.get_one(Instance, image), session.get_one(Instance, case.rival), kind, p).id
            for image, kind, p in (
                (case.own_prior, AlertKind.AUDIT_WRONG_PATIENT, 0.8),
                (case.stranger, AlertKind.AUDIT_DUPLICATE_RECORD, 0.6),
            )
        ]
    assert linked(qa.client.get("/alerts").text) == [case.alert, case.weaker_alert]
    assert qa.client.get(f"/alerts/newest?after={case.held_alert}").json == {"new": 0}
    page = qa.client.get("/alerts?tab=archive").text
    assert linked(page) == ids
    assert "Archive audit<b>2</b>" in page
    assert linked(qa.client.get("/alerts?tab=archive&kind=audit_duplicate_record").text) == ids[1:]
    assert linked(qa.client.get("/alerts?tab=open&kind=audit_wrong_patient").text) == [case.alert, case.weaker_alert]
    review = qa.client.get(f"/alerts/{ids[0]}").text
    assert "There is no other image of Sokolova, Vera" in review
    assert "New image" not in review
    form = {"csrf_token": qa.token(), "decision": "confirmed", "seen": "open"}
    assert qa.client.post(f"/alerts/{ids[0]}/decision", data=form).location == f"/alerts/{ids[1]}"
    assert qa.client.post(f"/alerts/{ids[1]}/decision", data=form).location == "/alerts?tab=archive"
