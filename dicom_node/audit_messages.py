"""Writes what was done and received as DICOM audit messages (PS3.15 A.5): one XML document for each event."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from xml.etree.ElementTree import Element, SubElement, tostring

from pydicom.uid import ExplicitVRLittleEndian

from archive.audit import AuditAction
from archive.audit_export import Asked, Done, Received, StudyOf, Subject

SCHEME = "99LUNGPRINT"
# Not allowed in XML 1.0.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Code = tuple[str, str, str]
_LOGIN: Code = ("110122", "DCM", "Login")
_LOGOUT: Code = ("110123", "DCM", "Logout")
_USER_CHANGED: Code = ("110137", "DCM", "User Security Attributes Changed")
_SOURCE: Code = ("110153", "DCM", "Source Role ID")
_DESTINATION: Code = ("110152", "DCM", "Destination Role ID")
_PATIENT_NUMBER: Code = ("2", "RFC-3881", "Patient Number")
_STUDY_UID: Code = ("110180", "DCM", "Study Instance UID")
_SOP_CLASS_UID: Code = ("110181", "DCM", "SOP Class UID")
_SEARCH: Code = ("10", "RFC-3881", "Search Criteria")
_URI: Code = ("12", "RFC-3881", "URI")
_USER: Code = ("11", "RFC-3881", "User Identifier")
_APPLICATION_SERVER = "4"


class Event(Enum):
    """Event ID (PS3.16 CID 400)."""

    AUDIT_LOG_USED = ("110101", "DCM", "Audit Log Used")
    INSTANCES_ACCESSED = ("110103", "DCM", "DICOM Instances Accessed")
    INSTANCES_TRANSFERRED = ("110104", "DCM", "DICOM Instances Transferred")
    PATIENT_RECORD = ("110110", "DCM", "Patient Record")
    QUERY = ("110112", "DCM", "Query")
    SECURITY_ALERT = ("110113", "DCM", "Security Alert")
    USER_AUTHENTICATION = ("110114", "DCM", "User Authentication")


@dataclass(frozen=True)
class Source:
    """Who reports: this node.

    Attributes:
        ae_title: audit source ID and AE title. host: this machine's name. site: enterprise site ID, "" for none.
    """

    ae_title: str
    host: str
    site: str = ""


@dataclass(frozen=True)
class _Kind:
    """How an action of the trail is reported; `action` is C, R, U, D or E, `outcome` 0 for success, 4 minor failure."""

    event: Event
    action: str
    outcome: str = "0"
    type_code: Code | None = None


_READ_RECORD, _UPDATE_RECORD = _Kind(Event.PATIENT_RECORD, "R"), _Kind(Event.PATIENT_RECORD, "U")
_READ_IMAGE, _UPDATE_IMAGE = _Kind(Event.INSTANCES_ACCESSED, "R"), _Kind(Event.INSTANCES_ACCESSED, "U")

KINDS: dict[AuditAction, _Kind | None] = {
    AuditAction.SIGNED_IN: _Kind(Event.USER_AUTHENTICATION, "E", "0", _LOGIN),
    AuditAction.SIGN_IN_REFUSED: _Kind(Event.USER_AUTHENTICATION, "E", "4", _LOGIN),
    AuditAction.SIGNED_OUT: _Kind(Event.USER_AUTHENTICATION, "E", "0", _LOGOUT),
    AuditAction.ALERT_LISTED: _READ_RECORD,
    AuditAction.ALERTS_FETCHED: _READ_RECORD,
    AuditAction.ALERT_VIEWED: _READ_RECORD,
    AuditAction.ALERT_DISPOSED: _UPDATE_RECORD,
    AuditAction.ALERT_JOINED: _UPDATE_RECORD,
    AuditAction.ALERT_CORRECTED: _UPDATE_RECORD,
    AuditAction.ALERT_NOT_FOUND_AGAIN: _UPDATE_RECORD,
    AuditAction.RECORDS_JOINED: _UPDATE_RECORD,
    AuditAction.RECORDS_SEPARATED: _UPDATE_RECORD,
    AuditAction.PAIR_DENIED: _UPDATE_RECORD,
    AuditAction.DENIAL_TAKEN_BACK: _UPDATE_RECORD,
    AuditAction.PATIENT_UPDATED: _UPDATE_RECORD,
    AuditAction.IMAGE_CORRECTED: _UPDATE_IMAGE,
    AuditAction.IMAGE_REPLACED: _UPDATE_IMAGE,
    AuditAction.IMAGE_VIEWED: _READ_IMAGE,
    AuditAction.IMAGE_LISTED: _READ_IMAGE,
    AuditAction.ATTENTION_VIEWED: _READ_IMAGE,
    AuditAction.ALIGNMENT_VIEWED: _READ_IMAGE,
    AuditAction.SIMILAR_SEARCHED: _Kind(Event.QUERY, "E"),
    AuditAction.PATIENT_SEARCHED: _Kind(Event.QUERY, "E"),
    AuditAction.DEAD_LETTER_RETRIED: _UPDATE_IMAGE,
    AuditAction.RESULT_SENT: _Kind(Event.INSTANCES_TRANSFERRED, "R"),
    AuditAction.AUDIT_VIEWED: _Kind(Event.AUDIT_LOG_USED, "R"),
    AuditAction.PURGED: _Kind(Event.PATIENT_RECORD, "D"),
    AuditAction.USER_CREATED: _Kind(Event.SECURITY_ALERT, "E", "0", _USER_CHANGED),
    AuditAction.USER_CHANGED: _Kind(Event.SECURITY_ALERT, "E", "0", _USER_CHANGED),
    # Pages without patients, for which the standard has no event.
    AuditAction.SYSTEM_VIEWED: None,
    AuditAction.USERS_VIEWED: None,
}


def message_of(done: Done, source: Source) -> bytes | None:
    """The message about an event of the trail, UTF-8; None where the standard has none for it."""
    try:
        action = AuditAction(done.action)
    except ValueError:
        return None
    kind = KINDS.get(action)
    if kind is None:
        return None
    root = _root(kind, kind.type_code or (action.name, SCHEME, action.value), done.at.isoformat())
    if kind.event is Event.INSTANCES_TRANSFERRED:
        _node(root, source, requestor=True, role=_SOURCE)
        _participant(root, done.address, requestor=False, role=_DESTINATION, titles=done.address)
    else:
        _participant(root, done.user, requestor=True, address=done.address)
        _node(root, source, requestor=False, role=_DESTINATION if kind.event is Event.QUERY else None)
    _audit_source(root, source)
    if kind.event is Event.QUERY:
        query = _object(root, _SEARCH, action.name, "2", "24")
        SubElement(query, "ParticipantObjectQuery").text = b64encode(action.value.encode()).decode()
    elif kind.event is Event.AUDIT_LOG_USED:
        _named(_object(root, _URI, "/audit", "2", "13"), "Security Audit Log")
    elif kind.event is Event.SECURITY_ALERT:
        _named(_object(root, _USER, str(done.object_pk or "unknown"), "1", "6"), action.value)
    if done.study is not None:
        _study(root, done.study)
    if done.patient is not None:
        _patient(root, done.patient)
    return _written(root)


def message_of_arrival(received: Received, source: Source) -> bytes:
    """The message *DICOM Instances Transferred* (PS3.15 A.5.3.7) about images that came in, asked for or not."""
    root = _root(_Kind(Event.INSTANCES_TRANSFERRED, "C"), None, received.at.isoformat())
    sender = received.calling_ae
    _participant(root, sender or "local files", requestor=not received.requested, role=_SOURCE, titles=sender)
    _node(root, source, requestor=received.requested, role=_DESTINATION)
    _audit_source(root, source)
    _study(root, received.study)
    _patient(root, received.patient)
    return _written(root)


def message_of_query(asked: Asked, source: Source) -> bytes:
    """The message *Query* (PS3.15 A.5.3.10) about what this node asked a peer by C-FIND, C-MOVE or C-GET."""
    root = _root(_Kind(Event.QUERY, "E"), None, asked.at.isoformat())
    _node(root, source, requestor=True, role=_SOURCE)
    _participant(root, asked.peer, requestor=False, role=_DESTINATION, titles=asked.peer)
    _audit_source(root, source)
    query = _object(root, _SOP_CLASS_UID, asked.sop_class_uid, "2", "3")
    SubElement(query, "ParticipantObjectQuery").text = b64encode(asked.identifier).decode()
    syntax = b64encode(ExplicitVRLittleEndian.encode()).decode()
    SubElement(query, "ParticipantObjectDetail", {"type": "TransferSyntax", "value": syntax})
    if asked.patient is not None:
        _patient(root, asked.patient)
    return _written(root)


def messages_of(
    done: Iterable[Done], received: Iterable[Received], asked: Iterable[Asked], source: Source
) -> list[bytes]:
    """All messages about a batch."""
    found = [message_of_query(each, source) for each in asked]
    found += [message_of_arrival(each, source) for each in received]
    return found + [message for message in (message_of(each, source) for each in done) if message is not None]


def _root(kind: _Kind, type_code: Code | None, at: str) -> Element:
    root = Element("AuditMessage")
    given = {"EventActionCode": kind.action, "EventDateTime": at, "EventOutcomeIndicator": kind.outcome}
    event = SubElement(root, "EventIdentification", given)
    _coded(event, "EventID", kind.event.value)
    if type_code is not None:
        _coded(event, "EventTypeCode", type_code)
    return root


def _participant(
    root: Element, user: str, requestor: bool, role: Code | None = None, titles: str = "", address: str = ""
) -> Element:
    given = {"UserID": _clean(user) or "unknown", "UserIsRequestor": "true" if requestor else "false"}
    if titles:
        given["AlternativeUserID"] = f"AETITLES={_clean(titles)}"
    if address:
        given |= {"NetworkAccessPointID": _clean(address), "NetworkAccessPointTypeCode": "2"}
    participant = SubElement(root, "ActiveParticipant", given)
    if role is not None:
        _coded(participant, "RoleIDCode", role)
    return participant


def _node(root: Element, source: Source, requestor: bool, role: Code | None) -> None:
    node = _participant(root, source.host, requestor, role, source.ae_title)
    node.attrib |= {"NetworkAccessPointID": source.host, "NetworkAccessPointTypeCode": "1"}


def _audit_source(root: Element, source: Source) -> None:
    given = {"AuditSourceID": source.ae_title} | ({"AuditEnterpriseSiteID": source.site} if source.site else {})
    SubElement(
        SubElement(root, "AuditSourceIdentification", given), "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER}
    )


def _study(root: Element, study: StudyOf) -> None:
    found = _named(_object(root, _STUDY_UID, study.uid, "2", "3"), study.accession_number or study.uid)
    description = SubElement(found, "ParticipantObjectDescription")
    if study.accession_number:
        SubElement(description, "Accession", {"Number": _clean(study.accession_number)})
    for sop_class, count in sorted(study.classes.items()):
        SubElement(description, "SOPClass", {"UID": _clean(sop_class), "NumberOfInstances": str(count)})


def _patient(root: Element, patient: Subject) -> None:
    number = f"{patient.patient_id}^^^{patient.issuer}" if patient.issuer else patient.patient_id
    _named(_object(root, _PATIENT_NUMBER, number or "unknown", "1", "1"), patient.name or "unknown")


def _object(root: Element, id_type: Code, number: str, type_code: str, role: str) -> Element:
    given = {
        "ParticipantObjectID": _clean(number),
        "ParticipantObjectTypeCode": type_code,
        "ParticipantObjectTypeCodeRole": role,
    }
    found = SubElement(root, "ParticipantObjectIdentification", given)
    _coded(found, "ParticipantObjectIDTypeCode", id_type)
    return found


def _named(found: Element, name: str) -> Element:
    SubElement(found, "ParticipantObjectName").text = _clean(name)
    return found


def _coded(parent: Element, tag: str, code: Code) -> None:
    value, scheme, meaning = code
    SubElement(parent, tag, {"csd-code": value, "codeSystemName": scheme, "originalText": meaning})


def _clean(value: str) -> str:
    return _FORBIDDEN.sub(" ", value)


def _written(root: Element) -> bytes:
    """One line, whatever the names hold."""
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written.replace(b"\r", b" ").replace(b"\n", b" ")
