"""Answer keys in a release: salted scrypt digests instead of the answers.

What sealing does: nobody reads an answer off the files, and checking one guess costs some milliseconds of processor
time. What it cannot do: a question with five options has at most 31 sets of right ones, and a number below a thousand
is found in seconds by a program that tries them all; no digest on the student's own machine can change that. So the
verdict at a desk is feedback. The one that counts is made by the instructor's run, which takes each student's id from
the roster (`--student`), so that the questions are those of that student and of nobody else.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from grading.manifest.model import ChoiceQuestion, NumberQuestion, Sealed
from grading.quiz.decimals import canonical
from grading.quiz.questions import ENVIRONMENT, VARIANTS, variants

COST = {"n": 1 << 11, "r": 8, "p": 1, "dklen": 16}
"""About 3.7 ms and 2 MB for one guess; a second for the 256 digests of a milestone with four number questions."""


def clear_key(question: NumberQuestion | ChoiceQuestion, variant: int) -> str:
    """The right answer in its canonical form; ValueError when the question has none in clear."""
    if isinstance(question, ChoiceQuestion):
        if not question.right:
            raise ValueError(f"question {question.id} has no answer in clear")
        return choice_key(question.right)
    if question.answer is None:
        raise ValueError(f"question {question.id} has no answer in clear")
    formula = ENVIRONMENT.compile_expression(question.answer, undefined_to_none=False)
    key = canonical(formula(**variants(question)[variant]), question.digits)
    if key is None:
        raise ValueError(f"the answer of question {question.id} is no number for variant {variant}")
    return key


def choice_key(options: tuple[str, ...] | list[str]) -> str:
    """A set of options in its canonical form."""
    return json.dumps(sorted(set(options)), ensure_ascii=False)


def sealed_key(question: NumberQuestion | ChoiceQuestion, variant: int, key: str, salt: str) -> str:
    """The digest of one canonical answer to one variant (0 for a choice)."""
    return hashlib.scrypt(f"{question.id}\0{variant}\0{key}".encode(), salt=bytes.fromhex(salt), **COST).hex()


def seal(question: NumberQuestion | ChoiceQuestion) -> NumberQuestion | ChoiceQuestion:
    """The question as a release has it: digests in place of the answer, options in neutral order.

    ValueError when the question has no answer in clear. The same question gives the same digests.
    """
    count = 1 if isinstance(question, ChoiceQuestion) else VARIANTS
    keys = [clear_key(question, variant) for variant in range(count)]
    options = tuple(sorted(question.right + question.wrong)) if isinstance(question, ChoiceQuestion) else ()
    # The salt is made of what a release shows, never of the answer: a quick digest of the answer would betray it.
    shown = json.dumps([question.id, question.prompt, options])
    salt = hashlib.sha256(shown.encode()).hexdigest()[:32]
    with ThreadPoolExecutor() as pool:  # scrypt lets other threads run
        digests = tuple(pool.map(lambda variant: sealed_key(question, variant, keys[variant], salt), range(count)))
    sealed = Sealed(salt=salt, digests=digests)
    if isinstance(question, ChoiceQuestion):
        return question.model_copy(update={"right": (), "wrong": (), "options": options, "sealed": sealed})
    return question.model_copy(update={"answer": None, "sealed": sealed})


def holds(question: NumberQuestion | ChoiceQuestion, variant: int, key: str) -> bool:
    """Whether a canonical answer is the right one, by the clear key or by the sealed one."""
    if question.sealed is None:
        return key == clear_key(question, variant)
    digest = question.sealed.digests[variant] if variant < len(question.sealed.digests) else ""
    return sealed_key(question, variant, key, question.sealed.salt) == digest
