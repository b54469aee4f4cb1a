"""Every kind of wrong manifest is answered with its line, what is wrong and how to fix it."""

import re
from pathlib import Path

import pytest

from grading.manifest.loader import load_manifest
from grading.manifest.problems import ManifestError

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "milestones.yaml").read_text(encoding="utf-8")
PLANNED = "    status: planned\n"


def load_problems(text, folder):
    """Return the problems of a manifest with this text."""
    (folder / "milestones.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    return caught.value.problems


def edit_manifest(old, new, count=1):
    """Change one thing in the course's own manifest; return it and the line of the change."""
    assert old in TEXT, f"the manifest has no longer: {old}"
    at = TEXT.index(old)
    return TEXT.replace(old, new, count), TEXT[:at].count("\n") + 1


def extract_module(module_id):
    """Extract the text of one module, from its `- id:` to the next."""
    return re.search(rf"  - id: {module_id}\n.*?(?=  - id: \d\d_|milestones:)", TEXT, re.DOTALL)[0]


def extract_question(question_id):
    """Extract the text of one question."""
    return re.search(rf"      - kind: \w+\n        id: {question_id}\n.*?(?=      - kind|\n  - id)", TEXT, re.DOTALL)[0]


def remove_first(pattern, text):
    """Remove the first match of a pattern, which must exist."""
    shorter, count = re.subn(pattern, "", text, count=1, flags=re.DOTALL)
    assert count
    return shorter


EDITS = {
    "unknown key": ("    medal: Bronze", "    medall: Bronze", 0, "unknown key `medall`", "Did you mean `medal`?"),
    "unknown key of a criterion": (
        "        figure: violations",
        "        figur: violations",
        0,
        "unknown key `figur`",
        "Did you mean `figure`?",
    ),
    "unknown key of a question": ("        digits: 2", "        digit: 2", 0, "unknown key `digit`", "`digits`?"),
    "unknown key at the top": ("course:\n", "coarse: 1\ncourse:\n", 0, "unknown key `coarse`", "`course`?"),
    "missing key": (
        "    victory: networks that solve XOR\n",
        "",
        None,
        "`victory` is missing",
        "Add a line `victory: …`",
    ),
    "wrong type": ("      wall_seconds: 60", '      wall_seconds: "60"', 0, '`wall_seconds` is "60"', "without quotes"),
    "text where a list is due": (
        '    hints:\n      - "Fix',
        '    hints: read\n    x:\n      - "Fix',
        0,
        '`hints` is "read"',
        "Write a list",
    ),
    "number where text is due": ('      - id: "2.10"', "      - id: 2.10", 0, "`id` is 2.1", "in quotes"),
    "unknown kind": ("kind: reliability", "kind: luck", 0, '`kind` is "luck"', "'reliability'"),
    "unknown kind of question": ("      - kind: choice", "      - kind: essay", 0, "`kind`", "`kind: choice`"),
    "threshold out of range": ("at_least: 0.95", "at_least: 95", 0, "out of range for a fraction", "from 0 to 1"),
    "negative threshold": ("at_most: 0.1\n", "at_most: -1\n", 0, "out of range for a loss", "not negative"),
    "both thresholds": (
        "        at_least: 0.4",
        "        at_least: 0.4\n        at_most: 1",
        1,
        "two thresholds",
        "Keep one of the two",
    ),
    "no threshold": (
        "        at_least: 0.4\n",
        "",
        None,
        "fresh_loss has no threshold",
        "`at_least: …` or `at_most: …`",
    ),
    "infinite number": ("      wall_seconds: 60", "      wall_seconds: 1e999", 0, "`wall_seconds`", "finite"),
    "noise out of range": ("      noise: 0.1", "      noise: 2", 0, "`noise` is 2", "Change the value"),
    "unknown experiment": (
        "      kind: xor\n",
        "      kind: nand\n",
        None,
        "the experiment's `kind`",
        "`kind: xor` or `kind: mnist`",
    ),
    "unknown key of an experiment": ("      copies: 50\n", "      copise: 50\n", 0, "`copise`", "copies"),
    "key twice": (
        "    trigger: 04_layers\n",
        "    trigger: 04_layers\n    trigger: 04_layers\n",
        1,
        "twice",
        "Keep one",
    ),
    "anchor": ("  name: TinyTorch", "  name: &a TinyTorch", 0, "YAML anchor", "Write it out"),
    "alias": ("  name: TinyTorch", "  name: *a", 0, "YAML alias", "Write it out"),
    "tag": ("  name: TinyTorch", "  name: !!str TinyTorch", 0, "YAML tag", "Delete the tag"),
    "key that is a list": ("  name: TinyTorch", "  [a]: TinyTorch", 0, "a key is a list", "Write a key as one word"),
    "second document": ("\nmilestones:\n", "\n---\nmilestones:\n", 1, "a second YAML document", "delete this `---`"),
    "module twice": ("  - id: 02_tensor", "  - id: 01_setup", 0, "module 01_setup appears twice", "Rename or delete"),
    "module out of order": ("  - id: 05_dense", "  - id: 17_dense", 0, "17_dense is out of order", "05_dense"),
    "module number twice": ("  - id: 03_act", "  - id: 02_act", 0, "number 03 belongs here", "03_activations"),
    "task twice": ('      - id: "2.2"', '      - id: "2.1"', 0, "task 2.1 appears twice", "Rename or delete"),
    "four hints": (
        "        hints:\n",
        "        hints:\n          - One more hint than there are steps.\n",
        0,
        "`hints` is",
        "at most 3 entries",
    ),
    "hint that is a page": (
        "            A figure means nothing",
        f"            A figure {'really ' * 90}means nothing",
        -1,
        "at most 480 characters",
        "Write at most 480 characters",
    ),
    "task out of order": ('      - id: "2.3"', '      - id: "2.0"', 0, "2.0 is out of order", "Order the tasks"),
    "task of another module": (
        '      - id: "2.2"',
        '      - id: "4.2"',
        0,
        "is in module 02_tensor",
        "Call it 2.2",
    ),
    "milestone twice": ("  - id: 2\n", "  - id: 1\n", 0, "milestone 1 appears twice", "Rename or delete"),
    "milestone out of order": ("  - id: 5\n", "  - id: 7\n", 0, "milestone 7 is out of order", "the id 5"),
    "trigger out of order": (
        "    trigger: 11_training",
        "    trigger: 03_activations",
        0,
        "does not come after 06_spatial",
        "a later trigger",
    ),
    "trigger that is no module": (
        "trigger: 04_layers",
        "trigger: 04_layer",
        0,
        "which is not a module",
        "`04_layers`?",
    ),
    "criterion twice": ("        name: noisy_accuracy", "        name: accuracy", 0, "criterion accuracy", "Rename"),
    "question twice": ("        id: sigmoid_gradient", "        id: forward_by_hand", 0, "question forward", "Rename"),
    "topic twice": ("      - the-loss-is-nan\n", "      - module-tests-fail\n", 0, "topic module-tests-fail", "Rename"),
    "topic not listed": ("topic: the-loss-stays-at-0693", "topic: the-loss-stays", 0, "does not list", "at-0693`?"),
    "unknown check": ("        check: xor", "        check: xr", 0, "the check xr, which does not exist", "`xor`?"),
    "unknown figure": ("figure: noisy_accuracy", "figure: noisy_acuracy", 0, "does not measure", "`noisy_accuracy`?"),
    "a kind of criterion missing": (
        "      - kind: understanding",
        "      - kind: reliability",
        None,
        "no criterion of kind understanding",
        "all four",
    ),
    "answer missing": ("        answer: grad * output * (1 - output)\n", "", None, "sigmoid_gradient", "`answer`"),
    "answer clear and sealed": (
        "        answer: grad * output",
        "        sealed: {salt: a, digests: [b]}\n        answer: grad * output",
        None,
        "sigmoid_gradient needs either a plain-text answer or a sealed one",
        "what a release writes",
    ),
    "built on a planned module": (
        extract_module("03_activations"),
        extract_module("03_activations") + PLANNED,
        None,
        "but these modules are not: 03_activations",
        "planned",
    ),
    "built module without tasks": (
        extract_module("03_activations"),
        remove_first(r"    tasks:.*", extract_module("03_activations")),
        0,
        "no tasks",
        "Add `tasks:`",
    ),
    "built without experiment": (
        re.search(r"    experiment:\n(      .*\n)+", TEXT)[0],
        "",
        None,
        "does not say how it is measured",
        "Add `experiment:`",
    ),
    "wrong options missing": (
        extract_question("exploding_loss"),
        remove_first(r"        wrong:.*?(?=        read)", extract_question("exploding_loss")),
        0,
        "exploding_loss needs either a plain-text answer",
        "`right` and `wrong`",
    ),
    "option twice": (
        "          - The four points come in another order.",
        "          - The hidden layer has 16 units instead of 8.",
        None,
        "stuck_at_chance has an option twice",
        "Keep one",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_wrong_manifest_is_answered_with_line_message_and_repair(name, tmp_path):
    """Each small edit gives a problem with the edited line, what is wrong and how to fix it."""
    old, new, below, message, repair = EDITS[name]
    text, line = edit_manifest(old, new)
    found = [p for p in load_problems(text, tmp_path) if message in p.message]
    assert found, f"nothing about {message!r} in {load_problems(text, tmp_path)}"
    problem = found[0]
    assert problem.file == "milestones.yaml"
    assert repair in problem.repair
    if below is not None:
        assert problem.line - line == below
