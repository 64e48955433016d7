"""The commitment task: tell a peer which of its images are safe, on an association that is opened for it."""

from __future__ import annotations

from archive.database import Database
from archive.files import ImageFiles
from config.settings import Settings


def report_commitment(database: Database, files: ImageFiles, settings: Settings, commitment_id: int) -> bool:
    """`commitment.deliver_by_call`; pynetdicom is imported here and in no worker that has no need of it."""
    from dicom_node.commitment import deliver_by_call
    from dicom_node.discretion import keep_values_private

    keep_values_private()
    return deliver_by_call(database, files, settings, commitment_id)
