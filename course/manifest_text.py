"""The student's milestones.yaml: the same manifest with its answer keys sealed, written as YAML that reads well."""

from __future__ import annotations

import yaml

from grading.manifest.model import Manifest
from grading.manifest.source import parse
from grading.quiz.sealing import seal

HEADER = """\
# yaml-language-server: $schema=docs/schema/manifest.schema.json
#
# The course as data: its modules and tasks, its milestones with every threshold, budget, hint and question.
# Nothing of this stands anywhere else. The answers to the questions are sealed: salted digests, not the answers.

"""


def sealed(manifest: Manifest) -> Manifest:
    """The manifest with every question sealed; ValueError when one has no answer in clear."""
    milestones = tuple(
        milestone.model_copy(update={"questions": tuple(map(seal, milestone.questions))})
        for milestone in manifest.milestones
    )
    return manifest.model_copy(update={"milestones": milestones})


def manifest_text(manifest: Manifest) -> str:
    """YAML from which `load` reads this manifest."""
    data = manifest.model_dump(mode="json", exclude_defaults=True)
    text = HEADER + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=115)
    if parse(text).data != data:
        raise ValueError("the manifest cannot be written so that it is read back unchanged")
    return text


class _Dumper(yaml.SafeDumper):
    """Indents lists, and keeps lines and paragraphs as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: yaml.SafeDumper, items: list[object]) -> yaml.SequenceNode:
    numbers = all(isinstance(item, int | float) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=numbers)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
