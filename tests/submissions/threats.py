"""What a submission may try: the one list of attacks. Every miniature names its line, and every line has at least two.

docs/threat-model.md describes each line, names its defence, and names what tests it.
"""

from __future__ import annotations

SUBMITTED = {
    # Inside the worker
    "early-end": "ends the process early, with success",
    "patched-libraries": "changes NumPy, pytest, builtins or time",
    "lying-objects": "objects whose __eq__, __array__ or __class__ lie",
    "subclasses": "subclasses of ndarray or float that pass for them",
    "looking-around": "reads frames, /proc or folders above for expected values",
    "shadow-modules": "modules, plugins and settings of its own where Python, pytest or the grader would look",
    "printed-success": "prints what a success would print, or commands of a workflow",
    "suspects-grading": "behaves differently where it suspects grading",
    "hard-coded": "answers known inputs from a table",
    "wrapped-framework": "lets somebody else's framework do the work",
    # At the protocol
    "bad-replies": "forged, malformed, oversized, slow or endless replies",
    "odd-values": "strange dtypes, shapes that do not fit, NaN, infinity, -0, huge texts, deep nesting",
    "out-of-order": "replies that nobody asked for, or twice",
    "second-talker": "somebody else who talks on the pipe",
    # At the victory condition
    "memorised-labels": "a table of labels instead of a network",
    "smuggled-weights": "weights that came with the source text",
    "no-training": "training that never happens",
    "one-class": "the same answer to everything",
    "lying-progress": "reports what was not measured",
    "one-seed": "works from a lucky seed only",
    # At the measurement
    "state-beside-weights": "answers from data it kept next to the weights",
    "training-set-in-weights": "keeps the training set in parameters or buffers",
    "known-task": "knows the task beforehand, and learns one bit of it",
    "identified-inputs": "recognises test inputs by what a change of them keeps",
    "faked-speed": "appears faster than it is, or is compared with a slowed baseline",
    "faked-size": "weighs less than what it answers from",
    "canned-text": "text that was recited, read ahead, or written by rules or by a network that lacks a part",
    # In the amount
    "stored-data": "data among the code, in whatever spelling, or in another file that is handed in",
    "grader-memory": "sizes that a student names, and answers that add up, in the grader's own memory",
    # In the files
    "edited-course": "tests, manifest, thresholds, workflows of its own",
    "forged-records": "results, badges and histories that say it passed",
    "odd-files": "links, repositories, pipes, other spellings, thousands, huge, not text, null bytes, stale bytecode",
    "odd-answers": "answers with tags, anchors, wrong types, unknown keys",
    # Against the machine
    "endless-or-flooding": "loops, processes, daemons, memory, disk, output, threads, open files without end",
    "network": "reaches for the network",
    "outside-writes": "writes where it has no business",
    # Against the platform, as far as a submission can
    "text-in-reports": "Markdown, HTML, mentions and megabytes in whatever is reported",
    "output-injection": "lines that would be a workflow's outputs or variables",
    "replay": "somebody else's result or answers",
    # Not meant badly
    "accident": "a mistake that looks the same",
}
"""Lines that submissions under tests/submissions/hostile stand for."""
