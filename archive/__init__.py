"""What is kept: patients, studies, images, codes, alerts and the audit trail, and the DICOM files on disk."""
