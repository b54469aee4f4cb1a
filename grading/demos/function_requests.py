"""Parse what somebody typed as the beginning of a function: a docstring's phrase or a signature."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grading.language.documents import Prompt
from grading.language.function_corpus import IDIOMS, LISTS, MAX_CONSTANT, MIN_CONSTANT, NAMES, TRIVIAL, FunctionGrammar

MAX_CHARACTERS = 400
"""The maximum number of characters that may be typed."""
NAME, CONSTANT = r"[a-z_][a-z0-9_]{0,19}", r"[1-9]\d{0,3}"
REQUEST = re.compile(r"^(please )?(write )?(me )?(a |the )?(function )?(that |which )?(returns? )?", re.IGNORECASE)
SIGNATURE = re.compile(r"def (\w+) ?\(([^()]*)\) ?:? ?(.*)")
DOCSTRING = re.compile(r'""" ?(.+?) ?("""|$)')


class NotUnderstoodError(ValueError):
    """The error raised if typed text is not the beginning of a function. The message explains what can be typed."""


@dataclass(frozen=True)
class FunctionBeginning:
    """The beginning of a function that the network receives, with its correct continuation."""

    text: str
    answer: str | None
    """The correct continuation, or None if the typed text has no meaning in the training text's grammar."""
    understood: str
    """A description of what was understood, for the person who typed it."""


def parse_function_request(typed: str, grammar: FunctionGrammar) -> FunctionBeginning:
    """Parse a function's signature, or a phrase for what it should return; raise NotUnderstoodError for anything else.

    The error explains what can be requested.
    """
    typed = " ".join("".join(letter if letter.isprintable() else " " for letter in typed).split())
    if len(typed) > MAX_CHARACTERS:
        raise NotUnderstoodError(
            f"That is {len(typed)} characters long. Ask for a function in at most {MAX_CHARACTERS} characters."
        )
    if re.match(r"def\b", typed):
        return _parse_signature(typed, grammar)
    parts = _parse_phrase(typed, grammar)
    if parts is None:
        raise NotUnderstoodError(f"Not understood. {describe_grammar(grammar)}")
    prompt, notes = _build_prompt_from_parts(parts, grammar), _list_training_notes(parts, grammar)
    understood = (
        f"Understood: {' '.join([_describe_requested_function(parts, grammar), *notes])} The name and signature are "
        "added."
    )
    return FunctionBeginning(prompt.text, prompt.answer, understood)


def describe_grammar(grammar: FunctionGrammar) -> str:
    """Describe in a few sentences what can be requested."""
    operations = ", ".join(f"the {name}" for name in grammar.operations)
    phrases = [phrase.format(k=7).lstrip(", ") for phrase, _ in grammar.continuations.values()]
    continuations = ", ".join(filter(None, phrases))
    conditions = ", ".join(phrase.format(n="limit") for phrase, _ in grammar.conditions.values())
    return (
        f"Of two numbers: {operations} of width and age, optionally followed by {continuations}. Of a list: how many "
        f"numbers in prices are {conditions}, whether any or all are, or the sum, the list, the first or the last of "
        "those that are. Or a signature: def larger_times(width, age):"
    )


def extract_docstring_phrase(prompt: Prompt) -> str:
    """Extract the phrase from a prompt's docstring, as in "the larger of width and age, times 12"."""
    return prompt.text.partition('"""Return ')[2].removesuffix('."""')


@dataclass(frozen=True)
class _FunctionParts:
    """A function's parts: operation and continuation for two numbers, or idiom and condition for a list."""

    pair: tuple[str, str]
    names: tuple[str, str]
    constant: int | None = None
    of_list: bool = False


def _build_prompt_from_parts(parts: _FunctionParts, grammar: FunctionGrammar) -> Prompt:
    """Build the prompt for a function's parts, with the function's body as the answer."""
    if parts.of_list:
        return grammar.build_list_prompt(*parts.pair, *parts.names)
    return grammar.build_number_prompt(*parts.pair, *parts.names, parts.constant or 0)


def _parse_phrase(typed: str, grammar: FunctionGrammar) -> _FunctionParts | None:
    """Parse a phrase into its parts. Return None if the grammar lacks it; raise NotUnderstoodError if names clash."""
    phrase = typed.strip(" .\"'").lower()
    for said in (phrase, REQUEST.sub("", phrase)):
        for pattern, pair, of_list in _yield_phrase_patterns(grammar):
            found = pattern.fullmatch(said)
            if found is None:
                continue
            first, second, constant = (found.groupdict().get(group) for group in ("first", "second", "k"))
            assert first is not None
            assert second is not None
            if first == second or keyword.iskeyword(first) or keyword.iskeyword(second):
                raise NotUnderstoodError(f"{first} and {second} are not two names for the parameters of a function.")
            return _FunctionParts(pair, (first, second), None if constant is None else int(constant), of_list)
    return None


def _yield_phrase_patterns(grammar: FunctionGrammar) -> Iterator[tuple[re.Pattern[str], tuple[str, str], bool]]:
    """Yield, for each function in the grammar, its phrase's pattern, its pair of parts, and whether it takes a list."""
    groups = {"first": f"(?P<first>{NAME})", "second": f"(?P<second>{NAME})", "k": f"(?P<k>{CONSTANT})"}
    for operation in grammar.operations:
        for continuation, (phrase, _) in grammar.continuations.items():
            rest = phrase.replace(", ", ",? ").format(**groups)
            yield (
                re.compile(f"(?:the )?{operation} of {groups['first']} and {groups['second']}{rest}"),
                (operation, continuation),
                False,
            )
    for idiom, (said, _) in IDIOMS.items():
        for condition, (phrase, _) in grammar.conditions.items():
            pattern = said.format(xs=groups["first"], phrase=phrase.format(n=groups["second"]))
            yield re.compile(re.sub("^the ", "(?:the )?", pattern)), (idiom, condition), True


def _describe_requested_function(parts: _FunctionParts, grammar: FunctionGrammar) -> str:
    """Describe a function as the end of a sentence, as in "the larger of a and b; then times 7." with the full stop."""
    first, second = parts.names
    if parts.of_list:
        idiom, condition = parts.pair
        phrase = grammar.conditions[condition][0].format(n=second)
        return f"the idiom '{idiom}' of the list {first}, for numbers {phrase}."
    operation, continuation = parts.pair
    phrase = grammar.continuations[continuation][0].format(k=parts.constant).lstrip(", ")
    return f"the {operation} of {first} and {second}{f'; then {phrase}' if phrase else ''}."


def _list_training_notes(parts: _FunctionParts, grammar: FunctionGrammar) -> list[str]:
    """List a sentence for each made-up word, and for each pair, name or constant that the training text lacks."""
    notes = [f"'{word}' was made up for this run." for word in parts.pair if word in grammar.made_up]
    held = grammar.held_lists | TRIVIAL if parts.of_list else grammar.held_numbers
    if parts.pair in held:
        notes.append("These two parts never occur together in the training text.")
    first, second = parts.names
    known = (first in (LISTS if parts.of_list else NAMES), second in NAMES)
    strange = [name for name, is_known in zip(parts.names, known, strict=True) if not is_known]
    notes += [f"{name} never appears there in the training text." for name in strange]
    if not strange and parts.names in grammar.held_names:
        notes.append(f"{first} and {second} never appear together in the training text.")
    if parts.constant is not None and not MIN_CONSTANT <= parts.constant <= MAX_CONSTANT:
        notes.append(f"The training text's constants range from {MIN_CONSTANT} to {MAX_CONSTANT}.")
    return notes


def _parse_signature(typed: str, grammar: FunctionGrammar) -> FunctionBeginning:
    """Lay out a signature, with any docstring, like the training text; raise NotUnderstoodError for anything else."""
    found = SIGNATURE.fullmatch(typed)
    names = [name.strip() for name in found[2].split(",")] if found and found[2].strip() else []
    if found is None or not all(map(_is_parameter_name, [found[1], *names])) or len(set(names)) < len(names):
        raise NotUnderstoodError("That is not a signature. A signature looks like this: def larger_times(width, age):")
    head = f"def {found[1]}({', '.join(names)}):"
    if not found[3]:
        return FunctionBeginning(head, None, "Understood: a signature. The network also writes the docstring.")
    docstring = DOCSTRING.match(found[3])
    if docstring is None:
        raise NotUnderstoodError('Only a docstring, """Return ...""", may follow. The network writes the rest.')
    said = docstring[1]
    text = f'{head}\n    """{said}"""'
    parts = _parse_phrase(said, grammar)
    if parts is None or list(parts.names) != names:
        return FunctionBeginning(
            text, None, "Understood: a signature with a docstring, for which no correct answer is known."
        )
    understood = " ".join(
        [
            "Understood: a signature;",
            _describe_requested_function(parts, grammar),
            *_list_training_notes(parts, grammar),
        ]
    )
    return FunctionBeginning(text, _build_prompt_from_parts(parts, grammar).answer, understood)


def _is_parameter_name(text: str) -> bool:
    """Return whether a text is an ASCII identifier and not a keyword."""
    return text.isascii() and text.isidentifier() and not keyword.iskeyword(text)
