"""Audit messages: valid by the standard's schema, each action of the trail as the standard's event."""

from __future__ import annotations

import base64
import dataclasses
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from lxml import etree

from archive.audit import AuditAction
from archive.audit_export import Asked, Done, Received, StudyOf, Subject
from dicom_node.audit_messages import (
    KINDS,
    Source,
    message_of,
    message_of_arrival,
    message_of_query,
    messages_of,
)

SOURCE = Source("LUNGPRINT", "lp.hospital.example", "HOSP")
STUDY = StudyOf("1.2.3", "A77", {"1.2.840.10008.5.1.4.1.1.1.1": 2, "1.2.840.10008.5.1.4.1.1.7": 1})
AT = datetime(2024, 2, 29, 12, 30, 15, 250_000, UTC)
DONE = Done(
    AT, "anna", AuditAction.ALERT_DISPOSED.value, "10.0.0.9", "alert", 12, Subject("P1", "H", "山田^太郎"), STUDY
)


@cache
def schema() -> etree.RelaxNG:
    return etree.RelaxNG.from_rnc_string((Path(__file__).parent / "audit_message.rnc").read_text())


def checked(message: bytes | None) -> etree._Element:
    """The message's root, once the schema has accepted it."""
    assert message is not None and b"\n" not in message
    root = etree.fromstring(message)
    schema().assertValid(root)
    return root


def done(action: AuditAction, **changes: object) -> etree._Element:
    return checked(message_of(dataclasses.replace(DONE, action=action.value, **changes), SOURCE))  # type: ignore[arg-type]


def event_of(root: etree._Element) -> tuple[str, str, str]:
    identification = root.find("EventIdentification")
    assert identification is not None
    event = identification.find("EventID")
    assert event is not None
    return event.get("csd-code"), identification.get("EventActionCode"), identification.get("EventOutcomeIndicator")


def roles(root: etree._Element) -> list[tuple[str, str, list[str]]]:
    """User, whether it is the requestor, and role codes of each participant."""
    return [
        (one.get("UserID"), one.get("UserIsRequestor"), [role.get("csd-code") for role in one.findall("RoleIDCode")])
        for one in root.findall("ActiveParticipant")
    ]


def objects(root: etree._Element) -> dict[str, str]:
    """IDs of the participating objects, by the code of their type."""
    return {
        one.find("ParticipantObjectIDTypeCode").get("csd-code"): one.get("ParticipantObjectID")
        for one in root.findall("ParticipantObjectIdentification")
    }


def test_the_schema_refuses_what_the_standard_refuses() -> None:
    good = message_of(DONE, SOURCE)
    assert good is not None
    for old, new in (
        (b"EventDateTime", b"When"),
        (b'"U"', b'"X"'),
        (b"csd-code", b"code"),
        (b"<ActiveP", b"<X/><ActiveP"),
    ):
        assert old in good and not schema().validate(etree.fromstring(good.replace(old, new, 1)))


@pytest.mark.parametrize("action", list(AuditAction))
def test_every_action_is_valid_whatever_is_known_of_it(action: AuditAction) -> None:
    assert action in KINDS
    bare = dataclasses.replace(
        DONE, action=action.value, patient=None, study=None, address="", user="", object_kind="", object_pk=None
    )
    for event in (DONE, bare):
        message = message_of(dataclasses.replace(event, action=action.value), SOURCE)
        if KINDS[action] is None:
            assert message is None
        else:
            checked(message)


@pytest.mark.parametrize(
    ("action", "event"),
    [
        (AuditAction.SIGNED_IN, ("110114", "E", "0")),
        (AuditAction.SIGN_IN_REFUSED, ("110114", "E", "4")),
        (AuditAction.ALERT_VIEWED, ("110110", "R", "0")),
        (AuditAction.ALERT_DISPOSED, ("110110", "U", "0")),
        (AuditAction.IMAGE_VIEWED, ("110103", "R", "0")),
        (AuditAction.PATIENT_SEARCHED, ("110112", "E", "0")),
        (AuditAction.RESULT_SENT, ("110104", "R", "0")),
        (AuditAction.AUDIT_VIEWED, ("110101", "R", "0")),
        (AuditAction.USER_CHANGED, ("110113", "E", "0")),
    ],
)
def test_an_action_is_the_event_that_the_standard_has_for_it(action: AuditAction, event: tuple[str, str, str]) -> None:
    assert event_of(done(action)) == event


def test_a_disposition_names_user_address_patient_and_study() -> None:
    root = done(AuditAction.ALERT_DISPOSED)
    assert roles(root) == [("anna", "true", []), ("lp.hospital.example", "false", [])]
    person = root.findall("ActiveParticipant")[0]
    assert (person.get("NetworkAccessPointID"), person.get("NetworkAccessPointTypeCode")) == ("10.0.0.9", "2")
    assert objects(root) == {"110180": "1.2.3", "2": "P1^^^H"}
    assert root.findtext(".//ParticipantObjectIdentification[last()]/ParticipantObjectName") == "山田^太郎"
    assert root.find(".//EventTypeCode").get("originalText") == "alert disposed"
    assert root.find(".//EventIdentification").get("EventDateTime") == "2024-02-29T12:30:15.250000+00:00"
    source = root.find("AuditSourceIdentification")
    assert (source.get("AuditSourceID"), source.get("AuditEnterpriseSiteID")) == ("LUNGPRINT", "HOSP")


def test_sign_ins_are_logins_and_logouts() -> None:
    assert done(AuditAction.SIGNED_IN).find(".//EventTypeCode").get("csd-code") == "110122"
    assert done(AuditAction.SIGNED_OUT).find(".//EventTypeCode").get("csd-code") == "110123"


def test_images_that_came_in_are_a_transfer_from_the_sender_to_us() -> None:
    root = checked(message_of_arrival(Received(AT, "CR1", Subject("P1", "", "Doe^Jane"), STUDY), SOURCE))
    assert event_of(root) == ("110104", "C", "0")
    assert roles(root) == [("CR1", "true", ["110153"]), ("lp.hospital.example", "false", ["110152"])]
    assert [one.get("AlternativeUserID") for one in root.findall("ActiveParticipant")] == [
        "AETITLES=CR1",
        "AETITLES=LUNGPRINT",
    ]
    assert {one.get("UID"): one.get("NumberOfInstances") for one in root.iter("SOPClass")} == {
        "1.2.840.10008.5.1.4.1.1.1.1": "2",
        "1.2.840.10008.5.1.4.1.1.7": "1",
    }
    assert [one.get("Number") for one in root.iter("Accession")] == ["A77"]


def test_images_that_were_asked_for_are_a_transfer_that_we_requested() -> None:
    received = Received(AT, "PACS1", Subject("P1", "", "Doe^Jane"), STUDY, requested=True)
    root = checked(message_of_arrival(received, SOURCE))
    assert event_of(root) == ("110104", "C", "0")
    assert roles(root) == [("PACS1", "false", ["110153"]), ("lp.hospital.example", "true", ["110152"])]


@pytest.mark.parametrize("patient", [None, Subject("P1", "H", "山田^太郎")])
def test_a_query_to_the_pacs_names_service_identifier_and_both_sides(patient: Subject | None) -> None:
    asked = Asked(AT, "PACS1", "1.2.840.10008.5.1.4.1.2.2.1", b"\x10\x00\x20\x00LO\x02\x00P1", patient)
    root = checked(message_of_query(asked, SOURCE))
    assert event_of(root) == ("110112", "E", "0")
    assert roles(root) == [("lp.hospital.example", "true", ["110153"]), ("PACS1", "false", ["110152"])]
    expected = {"110181": asked.sop_class_uid} | ({} if patient is None else {"2": "P1^^^H"})
    assert objects(root) == expected
    assert base64.b64decode(root.findtext(".//ParticipantObjectQuery")) == asked.identifier
    detail = root.find(".//ParticipantObjectDetail")
    assert detail.get("type") == "TransferSyntax"
    assert base64.b64decode(detail.get("value")) == b"1.2.840.10008.1.2.1"


def test_a_query_whose_patient_is_purged_is_still_told() -> None:
    checked(message_of_query(Asked(AT, "PACS1", "1.2.840.10008.5.1.4.1.2.2.1", b"", None), SOURCE))


def test_images_read_from_a_folder_have_a_source_too() -> None:
    root = checked(message_of_arrival(Received(AT, "", Subject("", "", ""), StudyOf("1.2", "", {})), SOURCE))
    assert roles(root)[0] == ("local files", "true", ["110153"])


def test_a_result_is_a_transfer_from_us_to_the_pacs() -> None:
    root = done(AuditAction.RESULT_SENT, user="(system)", address="PACS1")
    assert roles(root) == [("lp.hospital.example", "true", ["110153"]), ("PACS1", "false", ["110152"])]


def test_names_that_no_xml_can_hold_are_cleaned_and_never_break_out() -> None:
    odd = Subject('"/><x y="', "", "Doe\x00^\ud800Ja\nne</ParticipantObjectName>")
    root = done(AuditAction.ALERT_VIEWED, patient=odd, user="a\x01<b>")
    assert objects(root)["2"] == '"/><x y="'
    assert roles(root)[0][0] == "a <b>"


def test_an_action_of_a_later_version_is_left_out() -> None:
    later = dataclasses.replace(DONE, action="image sent to the moon")
    assert message_of(later, SOURCE) is None
    assert len(messages_of([later, DONE], [], [], SOURCE)) == 1
