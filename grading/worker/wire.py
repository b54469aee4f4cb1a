"""The codec between grader and worker: length-prefixed MessagePack with a fixed set of types, without pickle.

A frame is a length of four bytes (big endian) and a message. A message consists of the size of its plain part (also
four bytes), the plain part itself, which is one MessagePack value, and the bytes of all its arrays in order. Besides
MessagePack's own types there are arrays as (dtype from a list, shape), tuples, slices, dtypes, big integers and
``...``. References are either handles (for an object that stays in the worker) or callbacks (for a function that stays
in the grader). Both ends use this file. The grader trusts nothing that it decodes beyond its type.

The plain part has its own limit, because one byte of it may become an object of sixty bytes.
"""

import math
import socket
from collections.abc import Callable, Iterable
from typing import Any

import msgpack
import numpy as np

ARRAY, TUPLE, SLICE, DTYPE, ELLIPSIS, BIG_INT, HANDLE, CALLBACK = range(1, 9)
DTYPES = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split())
SCALARS = frozenset(np.dtype(name).type for name in DTYPES)
CONTAINERS = frozenset((list, tuple, dict, slice))
MAX_DIMENSIONS = 32
SMALL = 1 << 16
CHUNK = 4 << 20
MAX_PLAIN = 4 << 20
"""The maximum size of a message without its arrays, in bytes."""
MAX_REPLY, MAX_REPLY_PLAIN = 16 << 20, 1 << 19
"""The maximum size of a worker's message in bytes, in total and without arrays.

Correct code needs a tenth of the first limit and a fifth of the second.
"""
MAX_NESTING, MAX_REPLY_NESTING = 40, 32
"""The maximum depth of nested lists. A value from a reply thus still fits into a request that wraps it."""
MAX_EMPTY = 1 << 20
"""The largest product of an empty array's other axes, because a sum along the empty axis would have that size."""
MAX_HANDLE = 1 << 63
MAX_TEXT = 200
"""The maximum length of a string in a report, in characters."""
MAX_DIGITS = 1000
"""The maximum number of digits in an integer of more than 64 bits."""


class WireError(Exception):
    """The error raised if bytes are not a message of this protocol.

    It is not a ValueError, because a test might expect one.
    """


def encode_value(
    value: Any, make_reference: Callable[[Any], tuple[int, Any] | None], *, max_plain: int = MAX_PLAIN
) -> bytes:
    """Encode a value as bytes; raise WireError if it is too large or contains an object that cannot be sent.

    ``make_reference`` converts an object to (HANDLE or CALLBACK, payload), or to None to refuse it.
    """
    bodies: list[memoryview] = []

    def encode_extension(item: Any) -> msgpack.ExtType:
        """Encode a value that MessagePack does not know as one of the extensions."""
        if type(item) in SCALARS:  # a NumPy scalar is an array without axes
            item = np.asarray(item)
        kind = type(item)
        if kind is np.ndarray and item.dtype.name in DTYPES:
            native = np.ascontiguousarray(item, dtype=item.dtype.newbyteorder("="))
            if native.size:
                bodies.append(native.data)
            return msgpack.ExtType(ARRAY, _pack((item.dtype.name, list(item.shape))))
        if kind is tuple:
            return msgpack.ExtType(TUPLE, _pack(list(item), encode_extension))
        if kind is slice:
            return msgpack.ExtType(SLICE, _pack([item.start, item.stop, item.step], encode_extension))
        if kind is int and abs(item) < 10**MAX_DIGITS:
            return msgpack.ExtType(BIG_INT, str(item).encode())
        if item is Ellipsis:
            return msgpack.ExtType(ELLIPSIS, b"")
        if isinstance(item, np.dtype) and item.name in DTYPES:
            return msgpack.ExtType(DTYPE, item.name.encode())
        if (
            isinstance(item, type)
            and issubclass(item, np.generic | bool | int | float)
            and np.dtype(item).name in DTYPES
        ):
            return msgpack.ExtType(DTYPE, np.dtype(item).name.encode())
        named = make_reference(item)
        if named is None:
            raise WireError(f"an object of type {kind.__name__} cannot be sent")
        return msgpack.ExtType(named[0], _pack(named[1]))

    try:
        plain = _pack(value, encode_extension)
        if len(plain) > max_plain:
            raise WireError(f"{len(plain):,} bytes of plain values are more than {max_plain:,}; an array may be larger")
        return b"".join((len(plain).to_bytes(4, "big"), plain, *bodies))
    except (OverflowError, ValueError, RecursionError) as error:
        raise WireError(f"a value cannot be sent: {error}") from error
    finally:
        bodies.clear()  # `default` refers to itself, so its arrays would stay in memory until a garbage collection


def decode_value(
    data: bytes | bytearray,
    resolve: Callable[[int, Any], Any],
    *,
    max_plain: int = MAX_PLAIN,
    max_nesting: int = MAX_NESTING,
) -> Any:
    """Decode a value from bytes; raise WireError, and nothing else, if they are malformed or exceed a limit.

    ``resolve(HANDLE or CALLBACK, payload)`` returns what a reference stands for. The result can be encoded again.
    """
    depth, end, taken = 0, 4 + int.from_bytes(data[:4], "big"), 0
    if not 4 < end <= len(data):
        raise WireError("malformed message: its plain part does not fit")
    if end > 4 + max_plain:
        raise WireError(f"{end - 4:,} bytes of plain values are more than {max_plain:,}")
    bodies = memoryview(data)[end:]

    def decode_extension(code: int, payload: bytes) -> Any:
        """Decode one extension."""
        nonlocal depth, taken
        depth += 1
        if depth > max_nesting:
            raise WireError("nested too deeply")
        try:
            if code == ARRAY:
                dtype, shape = _validate_array_head(_unpack(payload, decode_extension))
                start, taken = taken, taken + math.prod(shape) * dtype.itemsize
                return _build_array(dtype, shape, bodies[start:taken])
            if code == TUPLE:
                return tuple(_require_list(_unpack(payload, decode_extension)))
            if code == SLICE:
                start, stop, step = _require_list(_unpack(payload, decode_extension))
                return slice(start, stop, step)
            if code == DTYPE:
                return np.dtype(_require_known_dtype(str(payload, "ascii")))
            if code == ELLIPSIS:
                return Ellipsis
            if code == BIG_INT and len(payload) <= MAX_DIGITS + 1 and abs(number := int(payload)) < 10**MAX_DIGITS:
                return number
            if code in (HANDLE, CALLBACK):
                return resolve(code, _unpack(payload, decode_extension))
            raise WireError(f"unknown extension {code}")
        finally:
            depth -= 1

    try:
        value = _unpack(memoryview(data)[4:end], decode_extension)
        _check_nesting(value, max_nesting)
    except WireError:
        raise
    except Exception as error:  # msgpack raises a dozen kinds of errors for malformed bytes
        raise WireError(f"malformed message: {type(error).__name__}") from error
    if taken != len(bodies):
        raise WireError("more bytes than its arrays have")
    return value


def _pack(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Encode a value as MessagePack; `default` encodes whatever is not exactly of a plain type, such as a tuple."""
    return msgpack.packb(value, default=default, strict_types=default is not None, use_bin_type=True)


def _unpack(data: bytes | memoryview, ext: Callable[[int, bytes], Any]) -> Any:
    """Decode a MessagePack value."""
    # MessagePack's own timestamps become floats, because objects of their class may not be sent.
    return msgpack.unpackb(data, ext_hook=ext, raw=False, strict_map_key=True, timestamp=1)


def _check_nesting(value: Any, most: int) -> None:
    """Raise WireError if containers are nested more than ``most`` deep."""
    layer = [value]
    for _ in range(most):
        layer = [inner for item in layer if type(item) in CONTAINERS for inner in _list_contained_values(item)]
        if not layer:
            return
    raise WireError("nested too deeply")


def _list_contained_values(container: Any) -> Iterable[Any]:
    """List the values in a list, tuple, dict or slice."""
    if type(container) is slice:
        return container.start, container.stop, container.step
    return container.values() if type(container) is dict else container


def _require_list(value: Any) -> list[Any]:
    """Return a value if it is a list; otherwise raise WireError."""
    if type(value) is not list:
        raise WireError("expected a list")
    return value


def _require_known_dtype(name: str) -> str:
    """Return a dtype's name if arrays of it may be sent. Otherwise raise WireError."""
    if name not in DTYPES:
        raise WireError(f"dtype {name[:20]!r} is not supported")
    return name


def _validate_array_head(head: Any) -> tuple[np.dtype, list[int]]:
    """Return the dtype and shape that a message claims for an array; raise WireError if they are not acceptable."""
    name, shape = _require_list(head)
    if not isinstance(name, str) or len(_require_list(shape)) > MAX_DIMENSIONS:
        raise WireError("an array's head is malformed")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise WireError("an array's shape has an invalid size")
    if 0 in shape and math.prod(n or 1 for n in shape) > MAX_EMPTY:
        raise WireError("an array without elements has an axis that is too long")
    return np.dtype(_require_known_dtype(name)), shape


def _build_array(dtype: np.dtype, shape: list[int], body: memoryview) -> np.ndarray:
    """Build an array from its bytes; raise WireError if the shape does not fit them."""
    if math.prod(shape) * dtype.itemsize != len(body):
        raise WireError("an array's shape does not fit its bytes")
    if dtype == np.bool_:  # a byte other than 0 or 1 would become a bool that equals neither
        return (np.frombuffer(body, np.uint8) != 0).reshape(shape)
    return np.frombuffer(body, dtype).reshape(shape).copy()


def is_reportable(value: Any) -> bool:
    """Return whether a progress report may contain this value: None, a number (including NumPy's) or a short string."""
    if type(value) is str:
        return len(value) <= MAX_TEXT
    if type(value) is np.ndarray:
        return value.ndim == 0
    return type(value) in (type(None), bool, int, float) or type(value) in SCALARS


def send_frame(sock: socket.socket, data: bytes) -> None:
    """Send the data as one frame, with its length before it."""
    head = len(data).to_bytes(4, "big")
    if len(data) < SMALL:
        sock.sendall(head + data)
    else:
        sock.sendall(head)
        sock.sendall(data)


def receive_frame(sock: socket.socket, *, max_bytes: int, wait: Callable[[], float] | None = None) -> bytearray:
    """Receive one frame; raise EOFError at the end of the stream, or WireError for more than ``max_bytes``.

    ``wait`` is called repeatedly and returns the seconds to wait, or raises an error to stop waiting.
    """
    size = int.from_bytes(_receive_exactly(sock, 4, wait), "big")
    if size > max_bytes:
        raise WireError(f"a message of {size:,} bytes is larger than {max_bytes:,}")
    return _receive_exactly(sock, size, wait)


def _receive_exactly(sock: socket.socket, size: int, wait: Callable[[], float] | None) -> bytearray:
    """Receive exactly this many bytes; raise EOFError if the stream ends before."""
    data = bytearray()
    while len(data) < size:  # grows as bytes arrive, so that a false size reserves little memory
        start, room = len(data), min(size - len(data), CHUNK)
        data += bytes(room)
        with memoryview(data) as view:
            filled = 0
            while filled < room:
                if wait is not None:
                    sock.settimeout(wait())
                try:
                    count = sock.recv_into(view[start + filled :], room - filled)
                except TimeoutError:  # only this particular wait has ended
                    continue
                if not count:
                    raise EOFError
                filled += count
    return data
