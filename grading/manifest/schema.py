"""The manifest's JSON Schema, for completion in editors. It is generated from the model, never written by hand."""

from __future__ import annotations

import json
from pathlib import Path

from grading.manifest.model import Manifest

SCHEMA_PATH = Path("docs", "schema", "manifest.schema.json")


def generate_schema_json() -> str:
    """Generate the JSON Schema of milestones.yaml, as the complete text of its file."""
    schema = Manifest.model_json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "tinytorch/manifest/v1",
        "title": "TinyTorch course manifest",
        "description": "milestones.yaml: modules, tasks, milestones, criteria, thresholds, budgets, hints, questions.",
    }
    return json.dumps(head | {k: v for k, v in schema.items() if k not in head}, indent=2, ensure_ascii=False) + "\n"
