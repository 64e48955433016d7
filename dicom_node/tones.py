"""From stored sample values to display tones: modality LUT, VOI LUT or window and polarity in one look-up."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_modality_lut

from dicom_node.layout import Layout

Tones = NDArray[np.float32]
Samples = NDArray[np.integer[Any]]

_log = logging.getLogger(__name__)
_FLAT_SPREAD = 0.10
_SATURATED = 0.85
_ROBUST_PERCENTILES = (0.5, 99.5)
_PROBE_SAMPLES = 1 << 16
_TABLE_ERRORS = (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)


def display_tones(samples: Samples, layout: Layout, header: Dataset) -> Tones:
    """Display values of grey samples: air dark, bone bright.

    The first VOI LUT or window is used when it shows the image; one that leaves it nearly flat or nearly all
    black or white is replaced by the range of the image itself, as an absent one is.

    Args:
        samples: stored values (H, W), any integer type.
        layout: their format.
        header: rescale, look-up tables, windows, padding value and polarity are taken from it.

    Returns:
        float32 (H, W) in [0, 1].
    """
    domain = _domain(layout)
    values = _modality_values(domain, header)
    probe = _probe(samples, layout, header)
    table = _voi_table(values, header)
    if table is None or not _shows(table[probe]):
        table = _own_range(values, values[probe], layout)
    if _is_inverted(header, layout):
        table = 1.0 - table
    return np.take(table.astype(np.float32), _positions(samples, layout))


def _domain(layout: Layout) -> NDArray[np.float64]:
    low = -(1 << (layout.stored - 1)) if layout.signed else 0
    return np.arange(low, low + (1 << layout.stored), dtype=np.float64)


def _positions(samples: Samples, layout: Layout) -> Samples:
    if not layout.signed:
        return samples
    return samples.astype(np.int32) + (1 << (layout.stored - 1))


def _probe(samples: Samples, layout: Layout, header: Dataset) -> Samples:
    """Table positions of a spread-out selection of the samples, without padding."""
    step = max(1, int(np.sqrt(samples.size / _PROBE_SAMPLES)))
    chosen = samples[::step, ::step].ravel()
    padding = header.get("PixelPaddingValue")
    if isinstance(padding, int):
        limit = header.get("PixelPaddingRangeLimit")
        low, high = sorted((padding, limit if isinstance(limit, int) else padding))
        inside = chosen[(chosen < low) | (chosen > high)]
        chosen = inside if inside.size else chosen
    return _positions(chosen, layout)


def _modality_values(domain: NDArray[np.float64], header: Dataset) -> NDArray[np.float64]:
    try:
        values = np.asarray(apply_modality_lut(domain.astype(np.int32), header), dtype=np.float64)
    except _TABLE_ERRORS:
        _log.info("a modality LUT that cannot be used was ignored")
        return domain
    if _is_raw_exposure(header) and str(header.get("PixelIntensityRelationship", "")).upper() == "LIN":
        values = np.log2(np.maximum(values - values.min(), 0.0) + 1.0)
    return values if np.isfinite(values).all() else domain


def _voi_table(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64] | None:
    if _is_raw_exposure(header):
        return None
    try:
        table = _voi_lut(values, header)
        return _window(values, header) if table is None else table
    except _TABLE_ERRORS:
        _log.info("a VOI LUT or window that cannot be used was ignored")
        return None


def _voi_lut(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64] | None:
    items = header.get("VOILUTSequence")
    if not items or "LUTData" not in items[0]:
        return None
    count, first, bits = (int(part) for part in items[0].LUTDescriptor)
    data = items[0].LUTData
    if isinstance(data, bytes):
        raw = np.frombuffer(data, dtype="<u2" if len(data) >= 2 * (count or 1 << 16) else np.uint8)
    else:
        raw = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    lut = raw[: count or 1 << 16].astype(np.float64)
    if first > 0x7FFF and values.min() < 0:
        first -= 1 << 16
    low, high = float(lut.min()), float(lut.max())
    if bits < 1 or high <= low:
        return None
    chosen = np.clip(values - first, 0, lut.size - 1).astype(np.int64)
    return np.asarray((lut[chosen] - low) / (high - low))


def _window(values: NDArray[np.float64], header: Dataset) -> NDArray[np.float64] | None:
    """Source: DICOM PS3.3 C.11.2.1.2 (linear) and C.11.2.1.3 (sigmoid, exact linear)."""
    centre, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if centre is None or width is None or not np.isfinite([centre, width]).all() or width <= 0:
        return None
    shape = str(header.get("VOILUTFunction", "LINEAR")).strip().upper()
    if shape == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -60.0, 60.0))))
    if shape != "LINEAR_EXACT":
        centre, width = centre - 0.5, max(width - 1.0, 1e-6)
    return np.asarray(np.clip((values - centre) / width + 0.5, 0.0, 1.0))


def _first(value: object) -> float | None:
    if isinstance(value, MultiValue | list | tuple):
        value = value[0] if value else None
    return None if value is None or value == "" else float(str(value))


def _shows(tones: NDArray[np.float64]) -> bool:
    low, high = np.percentile(tones, (1, 99))
    ends = max(float((tones <= 0.0).mean()), float((tones >= 1.0).mean()))
    return bool(high - low >= _FLAT_SPREAD and ends <= _SATURATED)


def _own_range(values: NDArray[np.float64], seen: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    if layout.stored <= 8:
        full = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
        spread = np.ptp(np.percentile(seen, (1, 99))) / max(float(np.ptp(values)), 1e-9)
        if spread >= _FLAT_SPREAD:
            return np.asarray(full)
    low, high = (float(edge) for edge in np.percentile(seen, _ROBUST_PERCENTILES))
    if high <= low:
        low, high = float(seen.min()), float(seen.max())
    return np.asarray(np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0))


def _is_raw_exposure(header: Dataset) -> bool:
    """Detector values meant for processing, whose polarity the intensity relationship states."""
    intent = str(header.get("PresentationIntentType", "")).strip().upper()
    return intent == "FOR PROCESSING" and header.get("PixelIntensityRelationshipSign") in (1, -1)


def _is_inverted(header: Dataset, layout: Layout) -> bool:
    if _is_raw_exposure(header):
        return bool(header.PixelIntensityRelationshipSign == 1)
    shape = str(header.get("PresentationLUTShape", "")).strip().upper()
    return layout.photometric == "MONOCHROME1" or shape == "INVERSE"
