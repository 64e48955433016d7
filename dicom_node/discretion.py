"""Keeps the values of headers, which are patient data, out of logs and terminals."""

from __future__ import annotations

import logging
import warnings

from pydicom import config as pydicom_config
from pynetdicom import _config as pynetdicom_config

_NOTHING = logging.CRITICAL + 1


def keep_values_private() -> None:
    """Silence the libraries that quote values; to be called once at the start of a process that reads DICOM.

    pydicom quotes values in warnings and in its log, pynetdicom in the tracebacks it logs. What matters to an
    administrator is said by our own log, in words of our own.
    """
    logging.getLogger("pydicom").setLevel(_NOTHING)
    logging.getLogger("pynetdicom").setLevel(_NOTHING)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    warnings.filterwarnings("ignore", module=r"pynetdicom(\.|$)")
    pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE
    pydicom_config.settings.writing_validation_mode = pydicom_config.IGNORE
    pynetdicom_config.LOG_HANDLER_LEVEL = "none"
