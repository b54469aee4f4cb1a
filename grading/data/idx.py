"""Read the IDX format of the MNIST files: a header with the shape, followed by one byte per element.

Format: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", file formats.
"""

from __future__ import annotations

import math
import struct

import numpy as np

UNSIGNED_BYTE = 0x08


def read_idx(data: bytes) -> np.ndarray:
    """Parse an IDX file of unsigned bytes into a read-only view of ``data``; raise ValueError if it is invalid.

    The header has two zero bytes, the element type, the number of dimensions n, and n sizes as big-endian 32-bit
    integers: ``00 00 08 02  00 00 00 01  00 00 00 02  07 09`` is ``[[7, 9]]``.
    """
    if len(data) < 4 or data[:2] != b"\0\0":
        raise ValueError("it does not begin with an IDX header")
    if data[2] != UNSIGNED_BYTE:
        raise ValueError(f"its elements are of type 0x{data[2]:02x}, not unsigned bytes (0x08)")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise ValueError("it ends within its header")
    shape = struct.unpack_from(f">{data[3]}I", data, 4)
    if len(data) - start != math.prod(shape):
        raise ValueError(f"its header promises {math.prod(shape)} bytes, but {len(data) - start} follow")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
