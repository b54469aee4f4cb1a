"""What is fuzzed: each target makes an input from a random generator, and judges what its reader does with one.

A reader may refuse an input in its own one way. Anything else it raises, and whatever it accepts and should not, is a
finding.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgpack
import numpy as np
import yaml
from pydantic import ValidationError

from grading import client, progress
from grading.github import comment_state, ledger
from grading.manifest.loader import ManifestError, load_manifest
from grading.proxy import Proxy
from grading.quiz.answer_file import Answers, get_answers_path, load_answers
from grading.quiz.safe_yaml import InvalidFileError
from grading.remote import RemoteError, WorkerFailureError
from grading.render import record
from grading.render.badge import render_badge
from grading.render.junit import render_junit
from grading.render.markdown import MAX_REPORT_CHARACTERS, render_markdown
from grading.result import NamedImage, Picture, Writing
from grading.sandbox.launch import Confinement
from grading.worker import wire
from tests.fuzz.mutations import alter_data, make_json_like, make_noise, mutate_bytes
from tests.render.results import build_loss_criterion, build_not_yet, build_result
from website.image_sheets import draw_images_in_one_row
from website.record_pictures import draw_record_picture

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FuzzTarget:
    """One reader: an input for it, and what must hold when it is read."""

    make: Callable[[Random], bytes]
    read: Callable[[bytes], bool]
    """Whether it was accepted."""


# The codec.

MESSAGES: tuple[Any, ...] = (
    ["ready", "3.12.1", "2.1.0"],
    ["value", 1, np.arange(6.0).reshape(2, 3)],
    ["value", 1, [(1, 2.5, None), slice(1, None, 2), ..., np.dtype("int8"), 10**30, b"x", {"a": [True, "é"]}]],
    ["value", 1, (np.zeros((0, 4), "uint8"), np.bool_(True), np.float16(2))],
    ["raised", 1, "ValueError", ["ValueError", "Exception"], "no", [["m/tinytorch/a.py", 2, "f", "raise"]]],
    ["event", 0, [1, 10, 0.5], {"accuracy": 0.5}],
)


def make_message(random: Random) -> bytes:
    """Make a message that is nearly one of the protocol, with changed or made-up parts, or make noise."""
    if random.random() < 0.1:
        return make_noise(random)
    data = wire.encode_value(random.choice(MESSAGES), lambda _: (wire.HANDLE, [1, "Tensor"]))
    end = 4 + int.from_bytes(data[:4], "big")
    plain, bodies = data[4:end], data[end:]
    match random.randrange(4):
        case 0:
            return mutate_bytes(data, random)
        case 1:
            plain = mutate_bytes(plain, random)
        case 2:
            payload = (
                make_noise(random) if random.random() < 0.5 else mutate_bytes(msgpack.packb(["float32", [3]]), random)
            )
            plain = msgpack.packb(["value", 1, msgpack.ExtType(random.randrange(10), payload)])
        case 3:
            bodies = mutate_bytes(bodies, random)
    return len(plain).to_bytes(4, "big") + plain + bodies


def read_message(data: bytes) -> bool:
    """Return whether a message is valid. Fail unless its values are plain or WireError is raised."""
    try:
        value = wire.decode_value(data, lambda _code, payload: ("name", payload))
    except wire.WireError:
        return False
    assert _is_wire_value(value)
    return True


def _is_wire_value(value: Any) -> bool:
    """Return whether a value and all its parts are of the types that a message may contain."""
    if type(value) in (list, tuple):
        return all(map(_is_wire_value, value))
    if type(value) is dict:
        return all(type(key) in (str, bytes) and _is_wire_value(part) for key, part in value.items())
    if type(value) is slice:
        return all(map(_is_wire_value, (value.start, value.stop, value.step)))
    if type(value) is np.ndarray:
        return value.dtype.name in wire.DTYPES
    known = type(value) in (type(None), bool, int, float, str, bytes, type(...))
    return known or isinstance(value, np.dtype)


# The grader's end of the pipe.


def make_conversation(random: Random) -> bytes:
    """Make the frames that a worker might send, one after the other."""
    frames = [make_message(random) for _ in range(random.randrange(1, 4))]
    data = b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)
    return mutate_bytes(data, random) if random.random() < 0.1 else data


class FakePipe:
    """A socket from which a fixed conversation comes."""

    def __init__(self, data: bytes):
        self._data = memoryview(data)

    def settimeout(self, _seconds: float | None) -> None:
        """Ignore the limit, since nothing here takes time."""

    def sendall(self, _data: bytes) -> None:
        """Drop the data, since nobody listens."""

    def recv_into(self, view: memoryview, count: int) -> int:
        """Copy the next bytes into the view, and return their number."""
        part = self._data[:count]
        view[: len(part)] = part
        self._data = self._data[len(part) :]
        return len(part)


class FakeProcess:
    """In a started process's place: a pipe alone."""

    def __init__(self, data: bytes):
        self.sock = FakePipe(data)

    def kill_and_clean_up(self) -> None:
        """Do nothing, since there is no process."""

    def read_usage(self) -> None:
        """Return None, since no process has used anything."""

    def explain_broken_pipe(self) -> str:
        """Return a fixed sentence about the failure."""
        return "the conversation was over"


def read_conversation(data: bytes) -> bool:
    """Return whether a worker's frames hold an answer or a student's error. Fail if the answer has other values."""
    with patch.object(client, "launch", lambda _confinement: FakeProcess(data)):
        worker = client.Worker(Confinement(Path("/nowhere"), (), 64, 1), call_seconds=5)
    worker._ready_until = None  # it has been greeted
    told: list[object] = []
    try:
        value = worker.request("call", lambda *args, **named: told.append((args, named)))
    except RemoteError:
        return True
    except WorkerFailureError:
        return False
    assert isinstance(value, Proxy) or _is_wire_value_or_proxy(value)
    with suppress(RemoteError, WorkerFailureError):  # nobody answers, but whatever came can be sent back
        worker.request("call", value, told)
    return True


def _is_wire_value_or_proxy(value: Any) -> bool:
    """Return whether a value and all its parts are plain values or proxies."""
    if type(value) in (list, tuple):
        return all(map(_is_wire_value_or_proxy, value))
    if type(value) is dict:
        return all(map(_is_wire_value_or_proxy, value.values()))
    return isinstance(value, Proxy) or _is_wire_value(value) or type(value) is slice


# The manifest.


@cache
def read_small_manifest() -> tuple[dict[str, Any], bytes]:
    """Return the course's manifest with only the first milestone and what it needs, as data and as text."""
    whole = yaml.safe_load((ROOT / "milestones.yaml").read_text("utf-8"))
    trigger = whole["milestones"][0]["trigger"]
    last = next(i for i, module in enumerate(whole["modules"]) if module["id"] == trigger)
    for module in (modules := whole["modules"][: last + 1]):
        module["tasks"] = module["tasks"][:2]
    milestone = whole["milestones"][0]
    milestone["questions"] = milestone["questions"][:2]
    data = whole | {"modules": modules, "milestones": [milestone]}
    return data, _dump_yaml(data)


def _dump_yaml(data: object) -> bytes:
    """Encode plain data as YAML."""
    return yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True).encode()


def make_manifest_text(random: Random) -> bytes:
    """Make YAML that is nearly a manifest."""
    data, text = read_small_manifest()
    if random.random() < 0.05:
        return make_noise(random)
    if random.random() < 0.3:
        text = _dump_yaml(alter_data(data, random))
    return mutate_bytes(text, random) if random.random() < 0.7 else text


def read_manifest(data: bytes) -> bool:
    """Return whether a manifest is valid. Fail unless its problems have lines."""
    with tempfile.TemporaryDirectory(dir=_find_memory_folder()) as folder:
        Path(folder, "milestones.yaml").write_bytes(data)
        try:
            assert load_manifest(Path(folder)).modules
        except ManifestError as refused:
            error = refused
        else:
            return True
    assert error.problems
    assert all(problem.line >= 1 for problem in error.problems)
    return False


# Answers.

ANSWERS = b"student: ada\nanswers:\n  training_memory: 1088\n  sigmoid: -0.25\n  choice: [a, c]\n  letter: b\n"


def make_answers_text(random: Random) -> bytes:
    """Make YAML that is nearly a file of answers."""
    return make_noise(random) if random.random() < 0.2 else mutate_bytes(ANSWERS, random)


def read_answers(data: bytes) -> bool:
    """Return whether answers are valid. Fail unless they are plain or refused in a sentence with its line."""
    with tempfile.TemporaryDirectory(dir=_find_memory_folder()) as folder:
        path = Path(folder, get_answers_path(1))
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            found = load_answers(Path(folder), 1)
        except InvalidFileError as error:
            refused = error
        else:
            refused = None
    if refused is not None:
        assert refused.line >= 1
        return False
    assert isinstance(found, Answers)
    for answer in found.answers.values():
        assert type(answer) in (int, float, bool, str) or all(type(letter) is str for letter in answer)
    return True


# Records.


@cache
def make_results() -> tuple[dict[str, Any], ...]:
    """Make valid results as plain data."""
    pictures = (
        Picture(name="confusions", seed=1, shape=(2, 2), labels=("a", "b"), values=(3, 1, 0, 4)),
        Picture(name="rivals", seed=1, shape=(2, 4), labels=("a", "b"), values=(900, 800, 700, 600, 0, 1, 2, 3)),
        Picture(name="rivals_on_text", seed=1, shape=(2,), labels=("a", "b"), values=(2210, 2060)),
        Picture(name="attention", seed=1, shape=(1, 1, 2), labels=("a", "b", "c"), values=(40, 60)),
    )
    wrote = (Writing(kind="function", prompt="def f(a):", written=" return a", right=True),)
    judged = (build_loss_criterion("passed", 0.01, how="5 seeds"),)
    named = (NamedImage(shows="a", named="b", percent=9, shape=(1, 2, 2), pixels="AAAAAA=="),)
    some = (
        build_result(),
        build_not_yet(),
        build_result(criteria=judged, pictures=pictures, writings=wrote, named_images=named),
    )
    return tuple(r.model_dump(mode="json") for r in some)


def make_result_text(random: Random) -> bytes:
    """Make JSON that is nearly a result."""
    return make_noise(random) if random.random() < 0.05 else make_json_like(make_results(), random)


def read_result(data: bytes) -> bool:
    """Return whether a result is valid. Fail unless it can be written, read again and rendered everywhere."""
    try:
        found = record.decode_result(data)
    except ValidationError:
        return False
    assert record.decode_result(record.encode_result(found)).verdict is found.verdict
    assert len(render_markdown(found)) <= MAX_REPORT_CHARACTERS
    assert render_junit(found).startswith("<?xml")
    if found.milestone is not None and found.verdict.exit_code == 0:
        assert render_badge(found).startswith("<svg")
    for picture in found.pictures:
        assert draw_record_picture(picture) == draw_record_picture(picture)
    assert not found.named_images or draw_images_in_one_row(found.named_images)
    return True


@cache
def make_events() -> tuple[dict[str, Any], ...]:
    """Make valid events of a history as plain data."""
    common = {"record": progress.SCHEMA, "at": "2026-03-01T00:00:00+00:00"}
    attempt = {"kind": "milestone_attempted", "milestone": 1, "module": None}
    module = {"kind": "module_completed", "milestone": None, "module": "02_tensor", "result": None}
    return (common | module, *(common | attempt | {"result": result} for result in make_results()))


def make_event_text(random: Random) -> bytes:
    """Make JSON that is nearly an event of a history."""
    return make_noise(random) if random.random() < 0.05 else make_json_like(make_events(), random)


def read_event(data: bytes) -> bool:
    """Return whether an event is valid. Fail on any exception but the ValueError that `read_history` expects."""
    try:
        event = progress.parse_event(data)
        _ = event.result
    except ValueError:
        return False
    assert event.criteria_met >= 0
    assert event.at.tzinfo is not None
    return True


# What is published on GitHub.


@cache
def make_ledger() -> tuple[bytes, ledger.LedgerHead, dict[str, bytes]]:
    """Make a ledger of four records, and return it with its head and the records' files."""
    module, attempt, *_ = make_events()
    some = (module, attempt, module | {"module": "03_activations"}, module | {"module": "04_layers"})
    files = {f"progress/{n}.json": json.dumps(event).encode() for n, event in enumerate(some)}
    at = datetime(2026, 3, 1, tzinfo=UTC)
    lines = [ledger.LedgerLine(0, file, ledger.compute_sha256(data), "", 7, 11, at) for file, data in files.items()]
    data, head = ledger.append_ledger_lines(b"", ledger.LedgerHead(), lines)
    return data, head, files


def make_ledger_text(random: Random) -> bytes:
    """Make a ledger with changed bytes, altered fields, or lines that were moved, doubled or removed."""
    data, _, _ = make_ledger()
    lines = data.splitlines()
    match random.randrange(4):
        case 0:
            return mutate_bytes(data, random)
        case 1:
            at = random.randrange(len(lines))
            lines[at] = make_json_like((json.loads(lines[at]),), random)
        case 2:
            lines = random.choices(lines, k=random.randrange(6))
        case 3:
            return make_noise(random) if random.random() < 0.2 else data
    return b"\n".join(lines)


def read_ledger(data: bytes) -> bool:
    """Return whether all lines are verified. Fail if a line is that was not published."""
    original, head, files = make_ledger()
    try:
        lines = ledger.split_ledger_lines(data)
    except ValueError:
        return False
    verified = [
        entry for entry in ledger.verify_ledger_records(lines, files, head=head, repository_id=7) if entry.verified
    ]
    assert {entry.file for entry in verified} <= files.keys()
    assert len(verified) <= len(set(lines) & set(original.splitlines()))
    assert all(entry.event is not None for entry in verified)
    return len(verified) == len(files)


STATE = {
    "version": 1,
    "run": 5,
    "attempt": 1,
    "commit": "a" * 40,
    "sessions": {"milestone-1": {"verdict": "not_yet", "criteria": {"loss": {"passed": False, "measured": 0.5}}}},
}


def make_comment_text(random: Random) -> bytes:
    """Make a comment that nearly has a state at its end."""
    coded = base64.b64encode(make_json_like((STATE,), random))
    body = b"<!-- tinytorch:report -->\nx\n<!-- tinytorch:state " + coded + b" -->"
    return mutate_bytes(body, random) if random.random() < 0.3 else body


def read_comment(data: bytes) -> bool:
    """Return whether a comment holds a state. Fail unless the state survives being written and read again."""
    found = comment_state.decode_report_state(data.decode("utf-8", "replace"))
    assert found is None or comment_state.decode_report_state("\n" + comment_state.encode_report_state(found)) == found
    return found is not None


def _find_memory_folder() -> str | None:
    """Return a folder in memory, since 100,000 files need no disk; return None if there is none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made there


TARGETS = {
    "codec": FuzzTarget(make_message, read_message),
    "pipe": FuzzTarget(make_conversation, read_conversation),
    "manifest": FuzzTarget(make_manifest_text, read_manifest),
    "answers": FuzzTarget(make_answers_text, read_answers),
    "result": FuzzTarget(make_result_text, read_result),
    "event": FuzzTarget(make_event_text, read_event),
    "ledger": FuzzTarget(make_ledger_text, read_ledger),
    "comment": FuzzTarget(make_comment_text, read_comment),
}
