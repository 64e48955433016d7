"""Makes the structured report about an alert: a Comprehensive SR by template 1500, unverified, with both images."""

from __future__ import annotations

from importlib.metadata import version

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from archive.states import AlertKind
from dicom_node.report_subject import (
    MANUFACTURER,
    MODEL,
    SERIES_NUMBER,
    Subject,
    adopt,
    instance_uid,
    sentence,
    series_uid,
)
from dicom_node.wrap import uid_from

SCHEME = "99LUNGPRINT"
ALERT_KIND = Code("1001", SCHEME, "Kind of identity alert")
SAME_PERSON = Code("1002", SCHEME, "Probability that both images show one person")
KINDS = {
    AlertKind.WRONG_PATIENT: Code("2001", SCHEME, "Wrong patient"),
    AlertKind.PRIOR_MISMATCH: Code("2002", SCHEME, "Unlike the patient's earlier images"),
    AlertKind.DUPLICATE_RECORD: Code("2003", SCHEME, "Two records of one person"),
    AlertKind.DUPLICATE_IMAGE: Code("2004", SCHEME, "Duplicate image"),
}
CHEST_X_RAY = Code("399208008", "SCT", "Plain chest X-ray")


def structured_report(subject: Subject, ae_title: str) -> Dataset:
    """A Comprehensive SR (PS3.3 A.35.3) with an Imaging Measurement Report (PS3.16 TID 1500), ready to be stored.

    It is complete but unverified and preliminary; it holds the kind of the alert, its probability in percent and a
    sentence, and references both images. Of the other image it holds UIDs alone, no patient.

    Args:
        ae_title: of this node, which is the observer.
    """
    images = [subject.image] if subject.other is None else [subject.image, subject.other]
    report = ComprehensiveSR(
        evidence=[_evidence(image) for image in images],
        content=_content(subject, images, ae_title),
        series_instance_uid=series_uid(subject, "report"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=instance_uid(subject, "report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=version("lungprint"),
        series_description="Identity check",
        coding_schemes=[
            CodingSchemeIdentificationItem(
                SCHEME, name="Lungprint identity alerts", responsible_organization="Lungprint"
            )
        ],
        is_complete=True,
        is_final=False,
        is_verified=False,
        specific_character_set="ISO_IR 192",
    )
    adopt(report, subject)
    return report


def _content(subject: Subject, images: list[Dataset], ae_title: str) -> Dataset:
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_from("device", ae_title), name=ae_title, manufacturer_name=MANUFACTURER, model_name=MODEL
        ),
    )
    found: Dataset = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CHEST_X_RAY,
        imaging_measurements=[_measurements(subject, images)],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            CodedConcept(value="en", scheme_designator="RFC5646", meaning="English")
        ),
    )[0]
    return found


def _measurements(subject: Subject, images: list[Dataset]) -> MeasurementsAndQualitativeEvaluations:
    measurements = [Measurement(codes.DCM.Probability, _percent(subject.probability), codes.UCUM.Percent)]
    if subject.same_person is not None:
        sources = [SourceImageForMeasurement(image.SOPClassUID, image.SOPInstanceUID) for image in images]
        measurements.append(
            Measurement(SAME_PERSON, _percent(subject.same_person), codes.UCUM.Percent, referenced_images=sources)
        )
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=uid_from(subject.uuid, "finding"), identifier=f"Lungprint alert {subject.alert_id}"
        ),
        finding_type=codes.DCM.QualityIssue,
        algorithm_id=AlgorithmIdentification(
            name=MODEL, version=version("lungprint"), parameters=[f"weights {subject.weights}"]
        ),
        measurements=measurements,
        qualitative_evaluations=[QualitativeEvaluation(ALERT_KIND, KINDS[subject.kind.finding])],
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID) for image in images],
    )
    group[0].ContentSequence.append(
        TextContentItem(codes.DCM.Comment, sentence(subject), RelationshipTypeValues.CONTAINS)
    )
    return group


def _evidence(image: Dataset) -> Dataset:
    """The image's UIDs alone: highdicom would log a patient's name that it doubts, `adopt` puts it in afterwards."""
    evidence = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        setattr(evidence, keyword, image[keyword].value)
    for keyword in ("PatientID", "PatientName", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(evidence, keyword, "")
    evidence.PatientBirthDate = evidence.StudyDate = evidence.StudyTime = None
    return evidence


def _percent(probability: float) -> float:
    return round(100.0 * probability, 2)
