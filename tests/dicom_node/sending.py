"""A listener inside the test's process, and the means to send it anything, right or wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE

from archive.database import Database
from config.paths import DataDir
from config.settings import Settings, load_settings
from dicom_node.discretion import keep_values_private
from dicom_node.listener import Listener
from tests.listening import radiograph


class Sender:
    """Sends to one listener.

    Attributes:
        port: where it listens. tls_port: where it listens for TLS.
    """

    def __init__(self, port: int, tls_port: int | None = None) -> None:
        self.port = port
        self.tls_port = tls_port

    @contextmanager
    def association(
        self,
        contexts: list[tuple[str, str]],
        calling: str = "MODALITY",
        called: str = "LUNGPRINT",
        max_pdu: int = 16382,
    ) -> Iterator[Association]:
        """An association with these pairs of SOP class and transfer syntax, established or not."""
        ae = AE(calling)
        ae.maximum_pdu_size = max_pdu
        for abstract, syntax in contexts:
            ae.add_requested_context(abstract, syntax)
        association = ae.associate("127.0.0.1", self.port, ae_title=called)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def send(self, image: Dataset) -> int:
        """Send an image as it is; returns the status."""
        return self.send_bytes(
            encoded(image), str(image.SOPClassUID), str(image.SOPInstanceUID), str(image.file_meta.TransferSyntaxUID)
        )

    def send_bytes(self, content: bytes, sop_class: str, sop_instance: str, syntax: str, abstract: str = "") -> int:
        """Send any bytes as the data set of a request that claims what it likes; returns the status."""
        with self.association([(abstract or sop_class, syntax)]) as association:
            assert association.is_established
            request = C_STORE()
            request.MessageID = 1
            request.AffectedSOPClassUID = UID(sop_class)
            request.AffectedSOPInstanceUID = UID(sop_instance)
            request.Priority = 2
            request.DataSet = BytesIO(content)
            context = association.accepted_contexts[0].context_id
            assert context is not None
            association._reactor_checkpoint.clear()
            association.dimse.send_msg(request, context)
            _, response = association.dimse.get_msg(block=True)
            association._reactor_checkpoint.set()
            assert isinstance(response, C_STORE) and response.Status is not None, "the listener gave no answer"
            return int(response.Status)


def encoded(image: Dataset) -> bytes:
    """The bytes of a data set in its transfer syntax."""
    syntax = image.file_meta.TransferSyntaxUID
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, image)
    return buffer.getvalue()


def pdu(*values: tuple[int, bytes], context: int = 1) -> bytes:
    """A P-DATA-TF PDU of presentation data values, each a control header and a fragment."""
    items = b"".join(struct.pack(">LBB", len(part) + 2, context, control) + part for control, part in values)
    return struct.pack(">BxL", 4, len(items)) + items


@cache
def command(number: int) -> bytes:
    """The command set of a C-STORE request."""
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = DigitalXRayImageStorageForPresentation
    request.AffectedSOPInstanceUID = radiograph(number).SOPInstanceUID
    request.Priority = 2
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 1
    (pdu,) = message.encode_msg(1, 0)
    return pdu.presentation_data_value_list[0][1][1:]


@contextmanager
def listening(
    folder: DataDir,
    database: Database,
    tls: dict[str, Any] | None = None,
    priors: dict[str, Any] | None = None,
    **options: Any,
) -> Iterator[Sender]:
    """A listener with these options of the sections `tls`, `priors` and `dicom`, on a free port."""
    keep_values_private()
    with_defaults = {"port": 0, "min_free_mib": 0, "low_space_mib": 0, **options}
    sections = {"dicom": with_defaults, "tls": tls or {}, "priors": priors or {}}
    settings: Settings = load_settings(folder.root, environ={}, flags=sections)
    listener = Listener(settings, folder, database)
    _, port = listener.start()
    try:
        yield Sender(port, listener.tls_port)
    finally:
        listener.stop()
