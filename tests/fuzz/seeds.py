"""Sound material to be damaged: PDUs of every kind, and data sets in many transfer syntaxes."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from tests.dicom_node.sending import command, encoded, pdu
from tests.listening import radiograph

DX = str(DigitalXRayImageStorageForPresentation)
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)
RELEASE_REQUEST = struct.pack(">BxL4x", 5, 4)
# Number of `long_image`, as `radiograph` counts.
LONG_IMAGE = 4
ABORT = struct.pack(">BxLxxBB", 7, 4, 0, 0)


@cache
def association_request() -> bytes:
    """An A-ASSOCIATE-RQ for storage (one presentation context for each of `SYNTAXES`), echo and commitment."""
    ae = AE("FUZZER")
    for syntax in SYNTAXES:
        ae.add_requested_context(DX, syntax)
    ae.add_requested_context(VERIFICATION)
    ae.add_requested_context(COMMITMENT)
    association = Association(ae, "requestor")
    association.requestor.ae_title = "FUZZER"
    association.acceptor.ae_title = "LUNGPRINT"
    association.requestor.maximum_length = 16382
    association.requestor.implementation_class_uid = UID("1.2.3")
    # One context of the nine each, in the order of their numbers 1, 3, 5 and so on.
    contexts = []
    for syntax in SYNTAXES:
        context = next(one for one in ae.requested_contexts if one.abstract_syntax == DX)
        made = type(context)()
        made.abstract_syntax, made.transfer_syntax = DX, [syntax]
        contexts.append(made)
    contexts += [one for one in ae.requested_contexts if one.abstract_syntax != DX]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    association.requestor.requested_contexts = contexts
    sent: list[A_ASSOCIATE] = []
    association.dul.send_pdu = sent.append
    association.acse.send_request()
    request = A_ASSOCIATE_RQ()
    request.from_primitive(sent[0])
    return bytes(request.encode())


@cache
def pdus() -> tuple[bytes, ...]:
    """PDUs that may follow an association request, sound ones, in an order that makes sense."""
    content = encoded(radiograph(1))
    echo = struct.pack("<HHLHH", 0, 0x100, 2, 0x30, 0)[:10]
    return (
        pdu((3, command(1))),
        pdu((0, content[:200])),
        pdu((2, content[200:])),
        pdu((3, command(2)), (2, encoded(radiograph(2)))),
        pdu((1, command(3)[:40])),
        pdu((3, command(3)[40:])),
        pdu((3, echo)),
        RELEASE_REQUEST,
        ABORT,
        struct.pack(">BxLxBBB", 3, 4, 1, 1, 3),
        b"\x02" + association_request()[1:],
    )


@cache
def long_image() -> bytes:
    """A data set of some 700 kB, which is more than stays in memory."""
    return encoded(radiograph(LONG_IMAGE, side=600))


@cache
def datasets() -> tuple[tuple[UID, bytes], ...]:
    """Encoded data sets, each with its transfer syntax."""
    return tuple((syntax, _encoded(syntax)) for syntax in SYNTAXES)


def _encoded(syntax: UID) -> bytes:
    image = radiograph(1, side=32)
    image.PatientName = "Müller^Jürgen"
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ViewCodeSequence = Sequence([_code("R-10206", "SNM3", "antero-posterior")])
    image.WindowCenter, image.WindowWidth = 2000, 3000
    if syntax == JPEGBaseline8Bit:
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
        grey = np.random.default_rng(1).integers(0, 255, (32, 32), dtype=np.uint8)
        image.PixelData = encapsulate([cv2.imencode(".jpg", grey)[1].tobytes()])
        image["PixelData"].VR = "OB"
    elif syntax.is_encapsulated:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.compress(syntax, generate_instance_uid=False)
    image.file_meta.TransferSyntaxUID = syntax
    buffer = BytesIO()
    image.save_as(
        buffer, enforce_file_format=True, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian
    )
    return buffer.getvalue()[_start(buffer) :]


def _start(file: BytesIO) -> int:
    """Where the data set of a DICOM file begins."""
    file.seek(0)
    meta = dcmread(file, stop_before_pixels=True).file_meta
    return 144 + int(meta.FileMetaInformationGroupLength)


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
