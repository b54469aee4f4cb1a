"""Load milestones.yaml as a Manifest. Every error names the file and the line, and says how to fix the problem."""

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
from grading.manifest.problems import MANIFEST_FILE, Finding, ManifestError, Problem, suggest_name
from grading.manifest.rules import find_broken_rules
from grading.manifest.yaml_source import YamlSource, parse_yaml

QUESTION_MODELS: dict[str, type[BaseModel]] = {"number": NumberQuestion, "choice": ChoiceQuestion}
EXPERIMENT_MODELS: dict[str, type[BaseModel]] = {
    "xor": XorExperiment,
    "mnist": MnistExperiment,
    "cifar10": Cifar10Experiment,
    "kernels": KernelsExperiment,
    "language": LanguageExperiment,
}

__all__ = [
    "MANIFEST_FILE",
    "ManifestError",
    "Problem",
    "add_lines_to_findings",
    "load_manifest",
    "load_manifest_strictly",
]


def load_manifest(root: Path) -> Manifest:
    """Load the repository's manifest, but ignore invalid deadlines. Raise ManifestError if the rest is not valid.

    `grading.manifest.file_checks` checks whether the files named in the manifest exist. Invalid deadlines are ignored
    here, because students' commands do not use them. `load_manifest_strictly` reports them to instructors.
    """
    source = read_manifest_source(root)
    data, (manifest, findings) = source.data, _validate_manifest(source.data)
    if isinstance(data, dict) and findings and all(finding.path[:1] == ("deadlines",) for finding in findings):
        manifest, findings = _validate_manifest({key: value for key, value in data.items() if key != "deadlines"})
    if manifest is None:
        raise ManifestError(add_lines_to_findings(source, findings))
    return manifest


def load_manifest_strictly(root: Path) -> Manifest:
    """Load the manifest for instructors. Raise ManifestError for invalid deadlines and unknown time zones as well.

    Students' commands never look up the zone, because a student's machine may know fewer zones.
    """
    source = read_manifest_source(root)
    manifest, findings = _validate_manifest(source.data)
    if manifest is None:
        raise ManifestError(add_lines_to_findings(source, findings))
    if manifest.deadlines is not None:
        name = manifest.deadlines.timezone
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"`timezone: {name[:60]}` is not a known time zone."
            finding = Finding(("deadlines", "timezone"), message, "Write an IANA name such as Europe/Berlin, or UTC.")
            raise ManifestError(add_lines_to_findings(source, [finding])) from None
    return manifest


def _validate_manifest(data: Any) -> tuple[Manifest | None, list[Finding]]:
    """Return the manifest that this data describes and no findings, or None and a finding for each problem."""
    try:
        # In strict mode, JSON may contain a list for a tuple, but not "5" for 5.
        manifest = Manifest.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        return None, list(map(_convert_pydantic_error, error.errors(include_url=False)))
    findings = list(find_broken_rules(manifest))
    return (None, findings) if findings else (manifest, [])


def read_manifest_source(root: Path) -> YamlSource:
    """Read the manifest's raw data and line numbers. Raise ManifestError if it is missing or not plain YAML."""
    path = root / MANIFEST_FILE
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message = f"no such file in {root}."
        raise ManifestError(
            [Problem(MANIFEST_FILE, 1, message, "Run the command in the course repository's folder.")]
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError([Problem(MANIFEST_FILE, line, "not UTF-8 text.", "Save the file as UTF-8.")]) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}."
        raise ManifestError([Problem(MANIFEST_FILE, 1, message, "Check that it is a readable file.")]) from None
    return parse_yaml(text)


def add_lines_to_findings(source: YamlSource, findings: Iterable[Finding]) -> list[Problem]:
    """Convert the findings to problems with line numbers."""
    return [Problem(MANIFEST_FILE, source.find_line(f.path), f.message, f.repair) for f in findings]


def _convert_pydantic_error(error: ErrorDetails) -> Finding:
    """Convert one of pydantic's errors to a finding with our own wording."""
    place, kind, context = tuple(error["loc"]), error["type"], error.get("ctx", {})
    # Below a question or an experiment, pydantic adds its kind to the path. The file's own path does not contain it.
    path = tuple(part for index, part in enumerate(place) if not _is_pydantic_kind(place, index))
    name = f"`{path[-1]}`" if path else "the manifest"
    where = _format_path_location(path)
    match kind:
        case "extra_forbidden":
            return Finding(
                path, f"unknown key {name}{where}.", suggest_name(str(path[-1]), _list_allowed_keys(place[:-1]))
            )
        case "missing":
            return Finding(path, f"the key {name} is missing{where}.", f"Add a line `{path[-1]}: …`.")
        case "value":
            return Finding((*path, context["key"]), context["message"], context["repair"])
        case "union_tag_invalid" | "union_tag_not_found":
            what, kinds = (
                ("experiment", EXPERIMENT_MODELS) if path[-1] == "experiment" else ("question", QUESTION_MODELS)
            )
            repair = f"Write {' or '.join(f'`kind: {name}`' for name in kinds)}."
            return Finding(path, f"the {what}'s `kind` is missing or unknown{where}.", repair)
        case _:
            shown = json.dumps(error["input"], ensure_ascii=False)
            shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
            said = error["msg"].removeprefix("Value error, ")
            return Finding(
                path, f"{name} is {shown}{where}: {said[:1].lower()}{said[1:]}.", _suggest_valid_value(kind, context)
            )


def _is_pydantic_kind(error_path: tuple, index: int) -> bool:
    """Return whether the part at this index of pydantic's path is a `kind`, which the path in the file lacks."""
    return (index >= 2 and error_path[index - 2] == "questions") or (
        index >= 1 and error_path[index - 1] == "experiment"
    )


def _suggest_valid_value(error_type: str, context: dict) -> str:
    """Suggest what to write instead of a value of the wrong type or range."""
    match error_type:
        case "string_type":
            return "Put the text in quotes."
        case "string_pattern_mismatch":
            return f"Write text that matches {context['pattern']}, in quotes if it looks like a number."
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
            return "Change the value so that this is true."


def _format_path_location(path: tuple) -> str:
    """Describe the location of a path's parent, as in " in `milestones[0].criteria[2]`", or return "" for the top."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[:-1])
    return f" in `{shown.lstrip('.')}`" if shown else ""


def _list_allowed_keys(path: tuple) -> list[str]:
    """List the keys that the mapping at one of pydantic's paths may have."""
    model: type[BaseModel] | None = Manifest
    for part in path:
        if isinstance(part, str) and model is not None:
            model = (QUESTION_MODELS | EXPERIMENT_MODELS).get(part) or _find_model(model, part)
    return list(model.model_fields) if model else []


def _find_model(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the records under a key, whether the key holds one record, an optional one or a list."""
    found: list = [model.model_fields[key].annotation] if key in model.model_fields else []
    while found:
        candidate = found.pop()
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
        found.extend(getattr(candidate, "__args__", ()))
    return None
