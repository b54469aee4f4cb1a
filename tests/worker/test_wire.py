"""The codec gives back what went in, and for anything else raises WireError and nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grading.limits import make_seconds_left_function
from grading.worker import wire
from tests.fuzz.targets import read_conversation

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


def pack_value(value: object) -> bytes:
    """Encode a value as MessagePack, with integers of any size."""
    return msgpack.packb(value, default=lambda number: msgpack.ExtType(wire.BIG_INT, str(number).encode()))


def pack_list(parts: list[bytes]) -> bytes:
    """Encode a short list of parts that are encoded already."""
    return bytes([0x90 + len(parts)]) + b"".join(parts)


SIZES = st.integers(-(2**70), 2**70) | st.integers(0, 3)
LEAVES = st.none() | st.booleans() | SIZES | st.floats(width=32) | st.text(max_size=3) | st.binary(max_size=3)
HEADS = st.tuples(st.sampled_from([*sorted(wire.DTYPES), "O"]), st.lists(SIZES, max_size=4))
DIGITS = st.sampled_from([sign * 10**wire.MAX_DIGITS + add for sign in (1, -1) for add in (-1, 0, 1)])
EXTENSIONS = st.one_of(
    st.tuples(SIZES, st.text(max_size=3)).map(lambda pair: msgpack.ExtType(wire.HANDLE, pack_value(pair))),
    HEADS.map(lambda head: msgpack.ExtType(wire.ARRAY, pack_value(head))),
    DIGITS.map(lambda number: msgpack.ExtType(wire.BIG_INT, str(number).encode())),
    st.sampled_from([b"float32", b"object"]).map(lambda name: msgpack.ExtType(wire.DTYPE, name)),
    st.builds(msgpack.Timestamp, st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**9 - 1)),
)
FORGED = st.recursive(
    (LEAVES | EXTENSIONS).map(pack_value),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(pack_list),
        inner.map(lambda part: b"\x81" + pack_value("key") + part),
        st.tuples(st.integers(1, 700), inner).map(lambda pair: b"\x91" * pair[0] + pair[1]),
        st.tuples(st.sampled_from([wire.TUPLE, wire.SLICE]), st.lists(inner, max_size=3)).map(
            lambda pair: pack_value(msgpack.ExtType(pair[0], pack_list(pair[1])))
        ),
    ),
    max_leaves=8,
)
"""Values as MessagePack, true to its form and to nothing else."""
DTYPES = st.sampled_from(sorted(wire.DTYPES)).map(np.dtype)


def refuse_reference(_item: object) -> None:
    """Return no reference, so that an object that is not plain cannot be sent."""


def return_payload(_code: int, payload: object) -> object:
    """Return a reference's payload instead of the object."""
    return payload


def build_message(plain: bytes, *bodies: bytes) -> bytes:
    """Build a message from a plain part and the bytes of arrays, whether they fit together or not."""
    return b"".join((len(plain).to_bytes(4, "big"), plain, *bodies))


def encode_and_decode(value: object) -> object:
    """Encode a value and decode it again."""
    return wire.decode_value(wire.encode_value(value, refuse_reference), return_payload)


def are_same(a: object, b: object) -> bool:
    """Return whether two values have the same types and values at every level; NaN is the same as NaN."""
    if isinstance(a, float) and a != a:
        return isinstance(b, float) and b != b
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(are_same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(are_same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@given(PLAIN)
@settings(max_examples=300)
def test_plain_values_come_back_with_their_types(value):
    """Tuples stay tuples, lists lists, and integers of any size exact."""
    assert are_same(value, encode_and_decode(value))


@given(DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))))
@settings(max_examples=300)
def test_arrays_come_back_with_dtype_shape_and_bytes(value):
    """Zero-sized and zero-dimensional ones too."""
    back = encode_and_decode(value)
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert back.tobytes() == value.tobytes()


def test_strided_and_big_endian_arrays_come_back_by_value():
    """A view's strides do not cross; its values do."""
    view = np.arange(12.0).reshape(3, 4)[::-1, ::2]
    np.testing.assert_array_equal(encode_and_decode(view), view)
    np.testing.assert_array_equal(encode_and_decode(np.arange(3, dtype=">i4")), [0, 1, 2])


@pytest.mark.parametrize("value", [slice(1, None, 2), ..., np.dtype("float64"), (slice(None), ..., 3)])
def test_what_indexes_crosses(value):
    """Slices, the ellipsis and dtypes."""
    assert encode_and_decode(value) == value


@pytest.mark.parametrize("kind", [np.float64, float, bool, int, np.uint8])
def test_a_type_crosses_as_its_dtype(kind):
    """`dtype=float` and `dtype=np.float64` mean the same."""
    assert encode_and_decode(kind) == np.dtype(kind)


def test_a_numpy_scalar_crosses_as_an_array_without_axes():
    """What `np.mean` returns is judged as the zero-dimensional array it stands for."""
    back = encode_and_decode(np.float32(1.5))
    assert (type(back), back.dtype, back.shape) == (np.ndarray, np.float32, ())


class FloatLike(float):
    """Looks like a float and is not one."""


class ArrayLike(np.ndarray):
    """Looks like an array and is not one."""


@pytest.mark.parametrize(
    "value",
    [object(), FloatLike(1.0), np.zeros(2).view(ArrayLike), np.array([object()]), {1}, 1j, 10**2000],
    ids=lambda v: type(v).__name__,
)
def test_what_is_not_plain_is_refused_or_named(value):
    """Subclasses of plain types are not plain: they are named, or refused where nothing names them."""
    with pytest.raises(wire.WireError):
        wire.encode_value(value, refuse_reference)
    assert wire.decode_value(wire.encode_value(value, lambda _: (wire.HANDLE, 7)), return_payload) == 7


def test_a_list_within_itself_is_refused():
    """Endless nesting ends with an error."""
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(wire.WireError):
        wire.encode_value(loop, refuse_reference)
    nested: object = ()
    for _ in range(100):
        nested = (nested,)
    with pytest.raises(wire.WireError):
        wire.decode_value(wire.encode_value(nested, refuse_reference), return_payload)


@given(st.binary(max_size=200))
@settings(max_examples=2000)
def test_arbitrary_bytes_raise_wire_error_or_decode(data):
    """No other exception for anything a worker may send, with the plain part's size right or wrong."""
    for message in (data, build_message(data)):
        with contextlib.suppress(wire.WireError):
            wire.decode_value(message, return_payload)


@given(FORGED, st.sampled_from(["value", "event"]))
@settings(max_examples=1000)
def test_whatever_decodes_can_be_sent_back(forged, kind):
    """A forged answer is an answer that can be encoded again, or the worker's end: nothing else leaves a request."""
    rest = [forged] if kind == "value" else [pack_list([forged]), b"\x80"]
    data = build_message(pack_list([pack_value(kind), pack_value(int(kind == "value")), *rest]))
    read_conversation(len(data).to_bytes(4, "big") + data)


@given(st.integers(-1, 12), st.binary(max_size=80), st.binary(max_size=20))
@settings(max_examples=2000)
def test_arbitrary_extensions_raise_wire_error_or_decode(code, payload, body):
    """Nor for arbitrary bytes behind each extension code."""
    with contextlib.suppress(wire.WireError):
        wire.decode_value(build_message(msgpack.packb(msgpack.ExtType(code % 128, payload)), body), return_payload)


@pytest.mark.parametrize(
    ("dtype", "shape", "body"),
    [
        ("float32", [3], b"1234"),
        ("float32", [-1], b"1234"),
        ("float32", [2**62, 4], b""),
        ("float32", [1.0], b"1234"),
        ("float32", [True], b"1234"),
        ("object", [1], b"12345678"),
        ("O", [1], b"12345678"),
        ("datetime64[s]", [1], b"12345678"),
        (3, [1], b"1234"),
        ("uint8", [0] * 40, b""),
    ],
)
def test_arrays_that_lie_about_themselves_are_refused(dtype, shape, body):
    """Shapes that do not fit the bytes, negative or huge sizes, dtypes that are not on the list."""
    with pytest.raises(wire.WireError):
        wire.decode_value(
            build_message(msgpack.packb(msgpack.ExtType(wire.ARRAY, msgpack.packb([dtype, shape]))), body),
            return_payload,
        )


def test_arrays_share_no_bytes_and_leave_none_over():
    """Each takes its own, in order; bytes that belong to none are refused."""
    two = msgpack.packb([msgpack.ExtType(wire.ARRAY, msgpack.packb(["uint8", [n]])) for n in (2, 1)])
    first, second = wire.decode_value(build_message(two, b"abc"), return_payload)
    assert (first.tobytes(), second.tobytes()) == (b"ab", b"c")
    for bodies in (b"ab", b"abcd"):
        with pytest.raises(wire.WireError):
            wire.decode_value(build_message(two, bodies), return_payload)


@pytest.mark.parametrize("unit", [b"\x90", b"\xa2ab", b"\xc7\x00\x05"], ids=["lists", "texts", "extensions"])
def test_a_message_of_millions_of_objects_is_refused_unread(unit):
    """What would fill the grader's memory with small objects is refused by its size alone, on both sides."""
    count = wire.MAX_PLAIN // len(unit) + 1
    started = time.process_time()
    with pytest.raises(wire.WireError, match="plain values"):
        wire.decode_value(build_message(b"\xdd" + count.to_bytes(4, "big") + unit * count), return_payload)
    with pytest.raises(wire.WireError, match="an array may be larger"):
        wire.encode_value(["ab"] * count, refuse_reference)
    assert time.process_time() - started < 5


def test_a_boolean_array_holds_only_true_and_false():
    """A byte of 2 would be a bool that equals neither."""
    plain = msgpack.packb(msgpack.ExtType(wire.ARRAY, msgpack.packb(["bool", [3]])))
    back = wire.decode_value(build_message(plain, b"\x00\x01\x02"), return_payload)
    assert back.tobytes() == b"\x00\x01\x01"


def test_a_frame_that_is_too_large_is_not_read():
    """The claimed size alone is enough to refuse it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall((1 << 30).to_bytes(4, "big"))
        with pytest.raises(wire.WireError):
            wire.receive_frame(ours, max_bytes=1 << 20)


def test_a_reply_that_drips_runs_into_the_deadline():
    """The deadline is for the whole frame, not for each byte."""
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        """Announce 1,000 bytes, and send one every 20 ms until stopped."""
        theirs.sendall((1000).to_bytes(4, "big"))
        while not stop.wait(0.02):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    with ours, theirs:
        thread.start()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            wire.receive_frame(ours, max_bytes=1 << 20, wait=make_seconds_left_function(started + 0.3))
        assert time.monotonic() - started < 10  # all of it would take 20
        stop.set()
        thread.join()
