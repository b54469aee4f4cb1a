"""The codec between grader and worker: length-prefixed MessagePack with a closed set of types. No pickle.

A frame is four bytes of length (big endian) and a message: the size of its plain part, also in four bytes, the plain
part, which is one MessagePack value, and the bytes of all its arrays, in their order. Beside MessagePack's own types
there are arrays as (dtype from a list, shape), tuples, slices, dtypes, big integers, ``...``, and two kinds of names:
handles (an object that stays in the worker) and callbacks (a function that stays in the grader). Both ends use this
file; the grader trusts nothing it decodes beyond its type.

The plain part is bounded apart: a byte of it may become an object of sixty, a byte of an array stays one.
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
"""Bytes of a message without its arrays."""
MAX_REPLY, MAX_REPLY_PLAIN = 16 << 20, 1 << 19
"""Bytes of a message from the worker, in all and without its arrays. Right code needs a tenth and a fifth of that."""
MAX_NESTING, MAX_REPLY_NESTING = 40, 32
"""Lists within lists. What came in a reply still fits into a request, however it is wrapped there."""
MAX_EMPTY = 1 << 20
"""The product of the other axes of an array without elements: a sum along the empty one would be as large."""
MAX_HANDLE = 1 << 63
MAX_TEXT = 200
"""Characters of a text in a report."""
MAX_DIGITS = 1000
"""Of an integer beyond 64 bits: Python's integers know no end, a message does."""


class WireError(Exception):
    """Bytes that are no message of this protocol. No ValueError: a test that expects one must not be content."""


def encode(value: Any, name: Callable[[Any], tuple[int, Any] | None], *, max_plain: int = MAX_PLAIN) -> bytes:
    """One value as bytes. ``name`` turns an object into (HANDLE or CALLBACK, payload), or None to refuse it."""
    bodies: list[memoryview] = []

    def default(item: Any) -> msgpack.ExtType:
        if type(item) in SCALARS:  # a NumPy scalar is an array without axes
            item = np.asarray(item)
        kind = type(item)
        if kind is np.ndarray and item.dtype.name in DTYPES:
            native = np.ascontiguousarray(item, dtype=item.dtype.newbyteorder("="))
            if native.size:
                bodies.append(native.data)
            return msgpack.ExtType(ARRAY, _pack((item.dtype.name, list(item.shape))))
        if kind is tuple:
            return msgpack.ExtType(TUPLE, _pack(list(item), default))
        if kind is slice:
            return msgpack.ExtType(SLICE, _pack([item.start, item.stop, item.step], default))
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
        named = name(item)
        if named is None:
            raise WireError(f"an object of type {kind.__name__} cannot cross")
        return msgpack.ExtType(named[0], _pack(named[1]))

    try:
        plain = _pack(value, default)
        if len(plain) > max_plain:
            raise WireError(f"{len(plain):,} bytes of plain values are more than {max_plain:,}; an array may be larger")
        return b"".join((len(plain).to_bytes(4, "big"), plain, *bodies))
    except (OverflowError, ValueError, RecursionError) as error:
        raise WireError(f"a value cannot cross: {error}") from error
    finally:
        bodies.clear()  # `default` knows itself, so what it holds would stay until the garbage is collected


def decode(
    data: bytes | bytearray,
    resolve: Callable[[int, Any], Any],
    *,
    max_plain: int = MAX_PLAIN,
    max_nesting: int = MAX_NESTING,
) -> Any:
    """The value in some bytes; ``resolve(HANDLE or CALLBACK, payload)`` gives what a name stands for.

    Whatever it gives can be encoded again. Raises WireError, and nothing else, for anything malformed.
    """
    depth, end, taken = 0, 4 + int.from_bytes(data[:4], "big"), 0
    if not 4 < end <= len(data):
        raise WireError("malformed message: its plain part does not fit")
    if end > 4 + max_plain:
        raise WireError(f"{end - 4:,} bytes of plain values are more than {max_plain:,}")
    bodies = memoryview(data)[end:]

    def ext(code: int, payload: bytes) -> Any:
        nonlocal depth, taken
        depth += 1
        if depth > max_nesting:
            raise WireError("nested too deeply")
        try:
            if code == ARRAY:
                dtype, shape = _head(_unpack(payload, ext))
                start, taken = taken, taken + math.prod(shape) * dtype.itemsize
                return _array(dtype, shape, bodies[start:taken])
            if code == TUPLE:
                return tuple(_listed(_unpack(payload, ext)))
            if code == SLICE:
                start, stop, step = _listed(_unpack(payload, ext))
                return slice(start, stop, step)
            if code == DTYPE:
                return np.dtype(_known_dtype(str(payload, "ascii")))
            if code == ELLIPSIS:
                return Ellipsis
            if code == BIG_INT and len(payload) <= MAX_DIGITS + 1 and abs(number := int(payload)) < 10**MAX_DIGITS:
                return number
            if code in (HANDLE, CALLBACK):
                return resolve(code, _unpack(payload, ext))
            raise WireError(f"unknown extension {code}")
        finally:
            depth -= 1

    try:
        value = _unpack(memoryview(data)[4:end], ext)
        _check_nesting(value, max_nesting)
    except WireError:
        raise
    except Exception as error:  # msgpack raises a dozen kinds for malformed bytes; all mean the same here
        raise WireError(f"malformed message: {type(error).__name__}") from error
    if taken != len(bodies):
        raise WireError("more bytes than its arrays have")
    return value


def _pack(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    return msgpack.packb(value, default=default, strict_types=default is not None, use_bin_type=True)


def _unpack(data: bytes | memoryview, ext: Callable[[int, bytes], Any]) -> Any:
    # A timestamp, MessagePack's own extension, is a float here: its class is not on the list of what crosses.
    return msgpack.unpackb(data, ext_hook=ext, raw=False, strict_map_key=True, timestamp=1)


def _check_nesting(value: Any, most: int) -> None:
    layer = [value]
    for _ in range(most):
        layer = [inner for item in layer if type(item) in CONTAINERS for inner in _contents(item)]
        if not layer:
            return
    raise WireError("nested too deeply")


def _contents(container: Any) -> Iterable[Any]:
    if type(container) is slice:
        return container.start, container.stop, container.step
    return container.values() if type(container) is dict else container


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise WireError("expected a list")
    return value


def _known_dtype(name: str) -> str:
    if name not in DTYPES:
        raise WireError(f"dtype {name[:20]!r} is not one that crosses")
    return name


def _head(head: Any) -> tuple[np.dtype, list[int]]:
    """An array's dtype and shape, believed to be no more than that."""
    name, shape = _listed(head)
    if not isinstance(name, str) or len(_listed(shape)) > MAX_DIMENSIONS:
        raise WireError("an array's head is malformed")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise WireError("an array's shape is not made of sizes")
    if 0 in shape and math.prod(n or 1 for n in shape) > MAX_EMPTY:
        raise WireError("an array without elements has an axis that is too long")
    return np.dtype(_known_dtype(name)), shape


def _array(dtype: np.dtype, shape: list[int], body: memoryview) -> np.ndarray:
    if math.prod(shape) * dtype.itemsize != len(body):
        raise WireError("an array's shape does not fit its bytes")
    if dtype == np.bool_:  # a byte that is neither 0 nor 1 would be a bool that equals neither
        return (np.frombuffer(body, np.uint8) != 0).reshape(shape)
    return np.frombuffer(body, dtype).reshape(shape).copy()


def is_reportable(value: Any) -> bool:
    """Whether a report of progress may hold this: None, a number, NumPy's too, or a short text."""
    if type(value) is str:
        return len(value) <= MAX_TEXT
    if type(value) is np.ndarray:
        return value.ndim == 0
    return type(value) in (type(None), bool, int, float) or type(value) in SCALARS


def send(sock: socket.socket, data: bytes) -> None:
    """One frame out."""
    head = len(data).to_bytes(4, "big")
    if len(data) < SMALL:
        sock.sendall(head + data)
    else:
        sock.sendall(head)
        sock.sendall(data)


def receive(sock: socket.socket, *, max_bytes: int, wait: Callable[[], float] | None = None) -> bytearray:
    """One frame in. ``wait`` says, again and again, how many seconds to wait for bytes, or raises to end the waiting.

    Raises EOFError at the end of the stream, WireError for a frame that is too large.
    """
    size = int.from_bytes(_exactly(sock, 4, wait), "big")
    if size > max_bytes:
        raise WireError(f"a message of {size:,} bytes is larger than {max_bytes:,}")
    return _exactly(sock, size, wait)


def _exactly(sock: socket.socket, size: int, wait: Callable[[], float] | None) -> bytearray:
    data = bytearray()
    while len(data) < size:  # grows as bytes arrive: a claimed size reserves little
        start, room = len(data), min(size - len(data), CHUNK)
        data += bytes(room)
        with memoryview(data) as view:
            filled = 0
            while filled < room:
                if wait is not None:
                    sock.settimeout(wait())
                try:
                    count = sock.recv_into(view[start + filled :], room - filled)
                except TimeoutError:  # only this wait has ended
                    continue
                if not count:
                    raise EOFError
                filled += count
    return data
