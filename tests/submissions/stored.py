"""Ways to spell data in a file of Python that still runs: what a bound on words or numbers alone would let pass."""

from __future__ import annotations

import base64
import random
import textwrap
from collections.abc import Callable, Iterable

SYLLABLES = [a + b for a in "bdfgklmnprstvwxz" for b in "aeio"]
"""64 of them: a syllable tells six bits."""


def random_data(size: int) -> bytes:
    """Data that nothing compresses, the same every time: weights of a trained network look like this."""
    return random.Random(size).randbytes(size)  # noqa: S311 - data to hide, no secret


def spell_data(data: bytes, spelling: str) -> str:
    """The data as lines of Python that change nothing of what a module does."""
    return SPELLINGS[spelling](data)


def split_into_numbers(data: bytes, bits: int) -> list[int]:
    """The data in numbers of so many bits."""
    text = "".join(f"{byte:08b}" for byte in data)
    return [int(text[i : i + bits], 2) for i in range(0, len(text), bits)]


def wrap_in_function(lines: Iterable[str]) -> str:
    """Lines that are never run."""
    return "def stored(x):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"


def join_words_into_lines(words: Iterable[str], separator: str, count: int = 12) -> list[str]:
    """So many words in each line."""
    words = list(words)
    return [separator.join(words[i : i + count]) for i in range(0, len(words), count)]


def spell_as_docstrings(data: bytes) -> str:
    """Sentences of words of four syllables, none of which is long."""
    syllables = [SYLLABLES[n] for n in split_into_numbers(data, 6)]
    lines = join_words_into_lines(("".join(syllables[i : i + 4]) for i in range(0, len(syllables), 4)), " ")
    return "".join(f'def f{number}():\n    """{line.capitalize()}."""\n' for number, line in enumerate(lines))


def spell_as_comments(data: bytes) -> str:
    """What `open(__file__)` reads."""
    return "".join(f"# {line}\n" for line in textwrap.wrap(base64.b64encode(data).decode(), 100))


def spell_as_indentation(data: bytes) -> str:
    """Up to 16 spaces before each line."""
    return wrap_in_function(f"if x:\n{' ' * (n + 1)}pass" for n in split_into_numbers(data, 4))


SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "one hexadecimal integer": lambda data: f"W = 0x{data.hex()}\n",
    "long decimals": lambda data: f"W = [{', '.join(f'0.{n:0482d}' for n in split_into_numbers(data, 1600))}]\n",
    "bytes": lambda data: f"W = {data!r}\n",
    "docstrings": spell_as_docstrings,
    "comments": spell_as_comments,
    "identifiers": lambda data: wrap_in_function(f"w{n:016x} = x" for n in split_into_numbers(data, 64)),
    "constants": lambda data: wrap_in_function(
        join_words_into_lines((("None", "...", "x", "()")[n] for n in split_into_numbers(data, 2)), ", ", 100)
    ),
    "attributes": lambda data: wrap_in_function(f"x.a{n:016x}" for n in split_into_numbers(data, 64)),
    "f-strings": lambda data: wrap_in_function(
        f'f"{line}"'
        for line in join_words_into_lines(
            (("{x}", "{x!r}", "{x!s}", "{x!a}")[n] for n in split_into_numbers(data, 2)), "", 100
        )
    ),
    "operators": lambda data: wrap_in_function(
        "x" + "".join(f"{operator}x" for operator in line)
        for line in join_words_into_lines(("+-*/"[n] for n in split_into_numbers(data, 2)), "", 40)
    ),
    "spaces at the ends of lines": lambda data: "".join("#" + " " * n + "\n" for n in split_into_numbers(data, 4)),
    "indentation": spell_as_indentation,
    "Chinese letters": lambda data: f"W = '{''.join(chr(0x4E00 + n) for n in split_into_numbers(data, 14))}'\n",
    "blank letters": lambda data: (
        "# " + "".join("\u200b\u200c\u200d\u2060"[n] for n in split_into_numbers(data, 2)) + "\n"
    ),
    "type annotations": lambda data: wrap_in_function(f"y: 'a{n:08x}'" for n in split_into_numbers(data, 32)),
}
"""How it is spelled → what writes it."""
