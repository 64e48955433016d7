"""Binary hash codes: packing, Hamming distance, and which bits mean what."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval.errors import CodeLengthMismatch

Code = npt.NDArray[np.uint8]


def pack(bits: npt.NDArray[np.number]) -> Code:
    """Pack code bits, eight to a byte, first bit in the highest place.

    Args:
        bits: (n, k), positive where the bit is set (a real-valued code is packed by its sign); k a multiple of 8.

    Returns:
        uint8 (n, k/8).

    Raises:
        CodeLengthMismatch: k is no multiple of 8.

    Source: P4, eq. 7.
    """
    if bits.ndim != 2 or bits.shape[1] % 8:
        raise CodeLengthMismatch(f"Codes must be (n, k) with k a multiple of 8, not {bits.shape}.")
    return np.packbits(bits > 0, axis=1)


def unpack(codes: Code) -> Code:
    """Undo `pack`: uint8 (n, k/8) to 0 or 1, uint8 (n, k)."""
    return np.unpackbits(codes, axis=1)


def hamming(a: Code, b: Code) -> npt.NDArray[np.int64]:
    """Count differing bits, broadcasting over leading axes.

    Args:
        a: uint8 (..., bytes).
        b: uint8 (..., bytes) of the same number of bytes.

    Returns:
        int64 (...), 0 to the number of bits.

    Raises:
        CodeLengthMismatch: the codes have different lengths.

    Source: P4, eq. 13.
    """
    if a.shape[-1] != b.shape[-1]:
        raise CodeLengthMismatch(
            f"A code of {8 * a.shape[-1]} bits cannot be compared with one of {8 * b.shape[-1]}: "
            "encode both images with the same network."
        )
    return np.asarray(np.bitwise_count(np.bitwise_xor(a, b)).sum(axis=-1, dtype=np.int64))


def identity_half(codes: Code) -> Code:
    """First half of the bits, trained to be equal for images of one person; uint8 (..., bytes/2)."""
    return codes[..., : codes.shape[-1] // 2]


def findings_half(codes: Code) -> Code:
    """Second half of the bits, trained to be equal for images with the same findings; uint8 (..., bytes/2)."""
    return codes[..., codes.shape[-1] // 2 :]
