"""milestones.yaml → Manifest; whatever is wrong with it is said with file, line and how to fix it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from grading.manifest.model import (
    ChoiceQuestion,
    Cifar10Experiment,
    KernelsExperiment,
    LanguageExperiment,
    Manifest,
    MnistExperiment,
    NumberQuestion,
    XorExperiment,
)
from grading.manifest.problems import FILE, Finding, ManifestError, Problem, did_you_mean
from grading.manifest.rules import broken_rules
from grading.manifest.source import Source, parse

QUESTIONS: dict[str, type[BaseModel]] = {"number": NumberQuestion, "choice": ChoiceQuestion}
EXPERIMENTS: dict[str, type[BaseModel]] = {
    "xor": XorExperiment,
    "mnist": MnistExperiment,
    "cifar10": Cifar10Experiment,
    "kernels": KernelsExperiment,
    "language": LanguageExperiment,
}

__all__ = ["FILE", "ManifestError", "Problem", "load", "load_at_desk", "located"]


def load(root: Path) -> Manifest:
    """The manifest of the repository at `root`; ManifestError when it is missing or wrong.

    Files that it names are not looked for: see `grading.manifest.files`. Wrong deadlines are as good as none: no
    student's command looks at them, so they stop no student. `load_at_desk` tells instructors.
    """
    source = read(root)
    data, (manifest, findings) = source.data, _validate(source.data)
    if isinstance(data, dict) and findings and all(finding.path[:1] == ("deadlines",) for finding in findings):
        manifest, findings = _validate({key: value for key, value in data.items() if key != "deadlines"})
    if manifest is None:
        raise ManifestError(located(source, findings))
    return manifest


def load_at_desk(root: Path) -> Manifest:
    """The manifest as instructors' commands read it: ManifestError for wrong deadlines and unknown time zones, too.

    Students' commands never look at the zone: their machine may know fewer.
    """
    source = read(root)
    manifest, findings = _validate(source.data)
    if manifest is None:
        raise ManifestError(located(source, findings))
    if manifest.deadlines is not None:
        name = manifest.deadlines.timezone
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"`timezone: {name[:60]}` is not a known time zone."
            finding = Finding(("deadlines", "timezone"), message, "Write an IANA name such as Europe/Berlin, or UTC.")
            raise ManifestError(located(source, [finding])) from None
    return manifest


def _validate(data: Any) -> tuple[Manifest | None, list[Finding]]:
    """The manifest that this data is, or what is wrong with it."""
    try:
        # JSON's strict mode takes a list for a tuple but no "5" for a 5.
        manifest = Manifest.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        return None, list(map(_finding, error.errors(include_url=False)))
    findings = list(broken_rules(manifest))
    return (None, findings) if findings else (manifest, [])


def read(root: Path) -> Source:
    """The manifest's data and lines, not yet checked; ManifestError when it is missing or not plain YAML."""
    path = root / FILE
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message = f"no such file in {root}."
        raise ManifestError([Problem(FILE, 1, message, "Run the command in the course repository's folder.")]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError([Problem(FILE, line, "not UTF-8 text.", "Save the file as UTF-8.")]) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}."
        raise ManifestError([Problem(FILE, 1, message, "Check that it is a file and may be read.")]) from None
    return parse(text)


def located(source: Source, findings: Iterable[Finding]) -> list[Problem]:
    """Findings with their lines."""
    return [Problem(FILE, source.line(f.path), f.message, f.mend) for f in findings]


def _finding(error: ErrorDetails) -> Finding:
    """One of pydantic's errors in our words."""
    place, kind, context = tuple(error["loc"]), error["type"], error.get("ctx", {})
    # Below a question and an experiment pydantic names its kind, too, which is no part of the file's own path.
    path = tuple(part for index, part in enumerate(place) if not _names_a_kind(place, index))
    name = f"`{path[-1]}`" if path else "the manifest"
    where = _inside(path)
    match kind:
        case "extra_forbidden":
            return Finding(path, f"unknown key {name}{where}.", did_you_mean(str(path[-1]), _keys(place[:-1])))
        case "missing":
            return Finding(path, f"the key {name} is missing{where}.", f"Add a line `{path[-1]}: …`.")
        case "value":
            return Finding((*path, context["key"]), context["message"], context["mend"])
        case "union_tag_invalid" | "union_tag_not_found":
            what, kinds = ("experiment", EXPERIMENTS) if path[-1] == "experiment" else ("question", QUESTIONS)
            mend = f"Write {' or '.join(f'`kind: {name}`' for name in kinds)}."
            return Finding(path, f"the {what}'s `kind` is missing or unknown{where}.", mend)
        case _:
            shown = json.dumps(error["input"], ensure_ascii=False)
            shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
            said = error["msg"].removeprefix("Value error, ")
            return Finding(path, f"{name} is {shown}{where}: {said[:1].lower()}{said[1:]}.", _mend(kind, context))


def _names_a_kind(place: tuple, index: int) -> bool:
    return (index >= 2 and place[index - 2] == "questions") or (index >= 1 and place[index - 1] == "experiment")


def _mend(kind: str, context: dict) -> str:
    """What to write instead of a value of the wrong type or range."""
    match kind:
        case "string_type":
            return "Put the text in quotes."
        case "string_pattern_mismatch":
            return f"Write it so that it matches {context['pattern']}, in quotes if it looks like a number."
        case "finite_number":
            return "Write a finite number."
        case "int_type" | "float_type" | "int_from_float":
            return "Write a number without quotes."
        case "too_short" | "too_long" if "min_length" in context:
            return f"Write at least {context['min_length']} entries."
        case "too_short" | "too_long":
            return f"Write at most {context['max_length']} entries."
        case "string_too_long":
            return f"Write at most {context['max_length']} characters."
        case "tuple_type":
            return "Write a list: one `- …` line for each entry."
        case "model_type" | "dict_type":
            return "Write a mapping: one `key: value` line for each entry."
        case "enum":
            return f"Write one of {context['expected']}."
        case _:
            return "Change the value so that this holds."


def _inside(path: tuple) -> str:
    """Where a path is: in `milestones[0].criteria[2]`, for a path below the top."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[:-1])
    return f" in `{shown.lstrip('.')}`" if shown else ""


def _keys(path: tuple) -> list[str]:
    """The keys that the mapping at one of pydantic's paths may have."""
    model: type[BaseModel] | None = Manifest
    for part in path:
        if isinstance(part, str) and model is not None:
            model = (QUESTIONS | EXPERIMENTS).get(part) or _model_below(model, part)
    return list(model.model_fields) if model else []


def _model_below(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model whose records stand under a key, alone, optional or in a list."""
    found: list = [model.model_fields[key].annotation] if key in model.model_fields else []
    while found:
        candidate = found.pop()
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        found.extend(getattr(candidate, "__args__", ()))
    return None
