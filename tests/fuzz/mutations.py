"""Inputs that are nearly right: valid ones, changed a little in their bytes or in their structure, and plain noise."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**40, 0.5, -0.0, 1e308, -1e308, 5e-324, "", "x",
    "\0", "é", "\u202e", "\ud7ff", "a" * 3000, "@everyone <img src=x>", "::error::x", "../../etc/passwd", "1e999",
    "NaN", "=cmd|' /C calc'!A0",
    "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z", [], {}, [[]],
    [None], {"": None}, {"a": {"a": {"a": 1}}}, [0] * 300, "unlocked", "not_yet", "passed", "failed", "error",
)  # fmt: skip
"""What a field may hold instead of what it should."""
TOKENS = (
    b"NaN", b"Infinity", b"1e999", b"-0", b"null", b"true", b'"\\ud800"', b'"\\u0000"', b"[" * 50, b"{" * 50, b"\xff",
    b"\xef\xbb\xbf", b"\0", b"\r\n", b"\t", b"\n", b"  ", b": ", b"- ", b"&a ", b"*a", b"!!x ", b"!t ", b"<<: ", b"? ",
    b"|\n", b">\n", b"%YAML 1.1\n", b"---\n", b"...\n", b"'", b'"', b"#", b"]", b"}", b",", b"\\u", b"\\", b"9" * 400,
    b"0x1F", b"~", b"\xc3\xa9", b"\xc0\x80", b"\xed\xa0\x80", b"\xdd\xff\xff\xff\xff", b"\xc9\x00\x00\x00\x02\x01",
    b"\xc7\x00\x05", b"\xd4\x01\x00", b"\x81\xa1a\x01", b"\x90", b"\xc1", b"\xcb\x7f\xf8" + bytes(6),
    b"\xdf" + bytes(4),
)  # fmt: skip
"""Bytes that mean something to JSON, YAML or MessagePack."""


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Return the bytes with up to eight small changes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        at = random.randrange(len(changed) + 1)
        length = random.choice((1, 1, 2, 4, 16, 200))
        match random.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] = random.randrange(256)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = random.randbytes(length)
            case 3:
                changed[at:at] = random.choice(TOKENS)
            case 4:
                changed[at : at + length] = random.choice(TOKENS)
            case 5:
                source = random.randrange(len(changed) + 1)
                changed[at:at] = changed[source : source + length]
            case 6 if random.random() < 0.2:
                del changed[at:]
    return bytes(changed)


def alter_data(value: Any, random: Random) -> Any:
    """Return plain data with up to four of its parts replaced, removed, doubled or added."""
    value = copy.deepcopy(value)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        holders = list(_find_containers(value))
        if not holders:
            return random.choice(NASTY)
        holder = random.choice(holders)
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = random.choice(keys)
        match random.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[random.choice(("extra", "", "verdict", "a" * 50))] = random.choice(NASTY)
            case 1:
                holder.append(copy.deepcopy(holder[key]))
            case 2:
                holder[key] = [holder[key]]
            case _:
                holder[key] = copy.deepcopy(random.choice(NASTY))
    return value


def _find_containers(value: Any):
    """Yield every non-empty dict and list in the data, including the data itself."""
    if isinstance(value, dict | list) and value:
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _find_containers(part)


def make_json_like(seeds: tuple[Any, ...], random: Random) -> bytes:
    """Make JSON that is nearly one of the seeds, changed in structure, in bytes or in both, or make noise."""
    value = random.choice(seeds)
    if random.random() < 0.75:
        value = alter_data(value, random)
    data = json.dumps(value, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return mutate_bytes(data, random) if random.random() < 0.4 else data


def make_noise(random: Random) -> bytes:
    """Make random bytes, or a random sequence of tokens."""
    if random.random() < 0.5:
        return random.randbytes(random.randrange(300))
    return b"".join(random.choices(TOKENS, k=random.randrange(40)))
