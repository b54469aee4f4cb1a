"""Derive pseudonyms from students' ids and the instructor's secret, so that a page's address identifies nobody."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from grading.errors import UsageError

FILE = "pseudonyms.key"
VARIABLE = "PSEUDONYM_KEY"
"""The environment variable that contains the key in workflows, whose machines do not have the file."""
BYTES = 32

QUALITIES = (
    "amber", "ample", "azure", "balmy", "bold", "bright", "brisk", "calm", "candid", "cheery", "clear", "clever",
    "cobalt", "coral", "cosmic", "cosy", "crisp", "dapper", "daring", "deft", "eager", "early", "elegant", "fair",
    "fond", "gentle", "glad", "golden", "grand", "green", "happy", "hardy", "honest", "indigo", "ivory", "jade",
    "jolly", "keen", "kind", "lively", "lucid", "lucky", "lunar", "mellow", "merry", "mild", "neat", "nimble",
    "noble", "olive", "polite", "proud", "quick", "quiet", "ready", "royal", "ruby", "sage", "silver", "solar",
    "steady", "sunny", "vivid", "warm",
)  # fmt: skip
THINGS = (
    "acorn", "alder", "anchor", "aspen", "badger", "bamboo", "beacon", "birch", "bridge", "brook", "canyon", "cedar",
    "cello", "clover", "comet", "condor", "copper", "crane", "delta", "dolphin", "falcon", "fern", "finch", "fjord",
    "galaxy", "garnet", "geyser", "ginkgo", "harbor", "hazel", "heron", "island", "juniper", "kite", "lagoon",
    "lantern", "larch", "lark", "linden", "lotus", "maple", "meadow", "meteor", "oasis", "ocean", "orbit", "orchid",
    "osprey", "otter", "panda", "pebble", "piano", "planet", "prairie", "quartz", "raven", "reef", "river", "robin",
    "sequoia", "sparrow", "summit", "tulip", "willow",
)  # fmt: skip


def read_pseudonym_key(path: Path, environ: Mapping[str, str] = os.environ) -> bytes:
    """Read the secret from the environment variable `VARIABLE`, or else from this file, which the first use creates.

    Raise UsageError if the secret is damaged or the variable is empty, as it is on GitHub if the secret is not set. A
    newly generated key would differ from run to run.
    """
    if VARIABLE in environ:
        key = _parse_hex_key(environ[VARIABLE])
        if key is None:
            raise UsageError(
                f"The variable {VARIABLE} does not contain a key for pseudonyms. Set the secret to the key that the "
                f"first `inv site` created on your machine: gh secret set {VARIABLE} < class/{FILE}"
            )
        return key
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(BYTES) + "\n")
            with contextlib.suppress(FileExistsError):  # another command has already written a key, which counts
                os.link(temporary, path)
        finally:
            temporary.unlink()
    key = _parse_hex_key(path.read_text("utf-8", errors="replace"))
    if key is None:
        raise UsageError(
            f"{path} is not a key of {2 * BYTES} hexadecimal digits. Restore it from a backup. If you delete it, "
            "a new one is created, and every student gets a different pseudonym."
        )
    return key


def _parse_hex_key(text: str) -> bytes | None:
    """Parse a key in hexadecimal digits, or return None if the text is not a key."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        return None
    return key if len(key) == BYTES else None


def assign_pseudonyms(ids: Iterable[str], key: bytes) -> dict[str, str]:
    """Map each id to a unique pseudonym, such as quiet-otter-40391, that depends only on the ids and the key.

    In the rare case that two pseudonyms would be equal, both have nine digits instead of five.
    """
    ids = list(ids)
    short = {id_: _derive_pseudonym(id_, key, 5) for id_ in ids}
    seen: dict[str, int] = {}
    for name in short.values():
        seen[name] = seen.get(name, 0) + 1
    return {id_: name if seen[name] == 1 else _derive_pseudonym(id_, key, 9) for id_, name in short.items()}


def _derive_pseudonym(id_: str, key: bytes, digits: int) -> str:
    """Derive a pseudonym with this many digits from an id and the key."""
    number = int.from_bytes(hmac.digest(key, id_.encode(), hashlib.sha256))
    number, quality = divmod(number, len(QUALITIES))
    number, thing = divmod(number, len(THINGS))
    return f"{QUALITIES[quality]}-{THINGS[thing]}-{number % 10**digits:0{digits}}"
