"""Write the students' milestones.yaml: the same manifest with sealed answer keys, as readable YAML."""

from __future__ import annotations

import yaml

from grading.manifest.model import Manifest
from grading.manifest.yaml_source import parse_yaml
from grading.quiz.sealing import seal_question

HEADER = """\
# yaml-language-server: $schema=docs/schema/manifest.schema.json
#
# The course as data: its modules and tasks, its milestones with every threshold, budget, hint and question.
# None of this is repeated elsewhere. The answers to the questions are sealed as salted digests.

"""


def seal_manifest(manifest: Manifest) -> Manifest:
    """Copy the manifest, replacing answers with digests. Raise ValueError if an answer is not in plain text."""
    milestones = tuple(
        milestone.model_copy(update={"questions": tuple(map(seal_question, milestone.questions))})
        for milestone in manifest.milestones
    )
    return manifest.model_copy(update={"milestones": milestones})


def format_manifest_as_yaml(manifest: Manifest) -> str:
    """Format the manifest as YAML that loads as the same manifest. Raise ValueError if that is impossible."""
    data = manifest.model_dump(mode="json", exclude_defaults=True)
    text = HEADER + yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=115)
    if parse_yaml(text).data != data:
        raise ValueError("the manifest cannot be written in a form that reads back unchanged")
    return text


class _Dumper(yaml.SafeDumper):
    """Indents lists, and keeps lines and paragraphs as blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent lists under their key."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, _data: object) -> bool:
        """Return True, so that every value is written in full and none as an alias."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return the YAML of a text: a block if it is long or has several lines."""
    style = "|" if "\n" in text else ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_list(dumper: yaml.SafeDumper, items: list[object]) -> yaml.SequenceNode:
    """Return the YAML of a list, which is on one line if it contains only numbers."""
    numbers = all(isinstance(item, int | float) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=numbers)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
