"""Ages as tables and DICOM headers write them."""

from __future__ import annotations

_OLDEST = 120
_IN_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def years(text: str) -> float | None:
    """Read an age: a number of years, or DICOM's form (PS3.5, 6.2, AS) `058Y`, `011M`, `003W`, `009D`.

    Returns:
        Years; None where nothing is written, or an age above 120, which is a typing error.

    Raises:
        ValueError: it has another form.

    Example:
        >>> years("058Y"), years("006M"), years("414"), years("")
        (58.0, 0.5, None, None)
    """
    if not text:
        return None
    value = float(text[:-1]) * _IN_YEARS[text[-1]] if text[-1] in _IN_YEARS else float(text)
    return value if 0 <= value <= _OLDEST else None
