"""The recipe of milestone 5 as a whole, which tests of single functions do not cover."""

import numpy as np

from grading.testing import expect, task, values
from grading.testing.reports import ignore_reports


def draw_words(rng, count):
    """Draw words of three digits each: b" 4 7 2"."""
    return [b"".join(b" %d" % digit for digit in word) for word in rng.integers(0, 10, (count, 3)).tolist()]


def train_on_echoes(student, rng, count=130):
    """Train on `count` lines such as "say 4 7 2: 4 7 2"; return the recipe, its merges, the network and the text."""
    text = b"".join(b"say" + word + b":" + word + b"\0" for word in draw_words(rng, count))
    ours, array = student.recipe("16_tinygpt"), np.frombuffer(text, np.uint8)
    merges = ours.learn_merges(array)
    network = ours.build(merges, student.rng(5))
    ours.train(network, array, rng=student.rng(5), progress=ignore_reports)
    return ours, merges, network, text


def continue_prompt(ours, merges, network, prompt):
    """Return the likeliest continuation of a prompt, up to the end of the document or 8 tokens."""
    table = [bytes([byte]) for byte in range(256)]
    for left, right in np.asarray(expect.pull(merges, call="learn_merges")).tolist():
        table.append(table[left] + table[right])
    tokens, written = list(expect.pull(ours.encode(merges, prompt), call="encode")), b""
    for _ in range(8):
        logits = expect.pull(ours.next_logits(network, np.array([tokens])), call="next_logits(network, prompt)")
        tokens.append(int(np.argmax(logits[0])))
        written += table[tokens[-1]]
        if b"\0" in written:
            break
    return written


@task("16.15")
def test_recipe_learns_to_repeat_a_word(student, rng):
    """After 130 lines such as "say 4 7 2: 4 7 2", the recipe repeats digits in combinations that it has never seen."""
    ours, merges, network, text = train_on_echoes(student, rng)
    new = [word for word in draw_words(rng, 60) if b"say" + word + b":" not in text][:20]
    right = sum(continue_prompt(ours, merges, network, b"say" + word + b":") == word + b"\0" for word in new)
    hint = "begin windows with a document; use AdamW with the lesson's settings; shift targets by one position"
    call = "how many of 20 new numbers it repeats after `say 4 7 2:`"
    expect.that(right >= 15, call=call, got=right, expected="at least 15", hint=hint)


@task("16.15")
def test_recipe_keeps_what_it_learned_in_its_parameters(student, rng):
    """Parameters and buffers, put into a network built from the same merges, yield the same logits."""
    ours, merges, network, text = train_on_echoes(student, rng, count=120)
    other = ours.build(merges, student.rng(9))
    kept = [values(tensor) for tensor in [*network.parameters(), *network.buffers()]]
    for tensor, array in zip([*other.parameters(), *other.buffers()], kept, strict=True):
        tensor.data = array
    tokens = np.array([expect.pull(ours.encode(merges, text), call="encode")[:12]])
    wanted = values(ours.next_logits(network, tokens))
    hint = "everything that training changes must be in parameters() or buffers()"
    got = ours.next_logits(other, tokens)
    expect.array(got, wanted, call="next_logits of a network with the trained one's weights", hint=hint, rtol=1e-4)


@task("16.15")
def test_recipe_may_be_asked_while_it_trains(student, rng):
    """Logits requested from inside progress do not change what is learned, and training does not change its text."""
    ours = student.recipe("16_tinygpt")
    text = np.frombuffer(b"".join(b"say" + word + b"\0" for word in draw_words(rng, 105)), np.uint8)
    held = student.tensor.Tensor(text)
    merges, results = ours.learn_merges(text), []
    tokens = np.array([expect.pull(ours.encode(merges, text.tobytes()), call="encode")[:10]])
    for asks in (False, True):
        network = ours.build(merges, student.rng(6))

        def request_logits(*_values, network=network, **_named):
            ours.next_logits(network, tokens)

        ours.train(network, held.data, rng=student.rng(6), progress=request_logits if asks else ignore_reports)
        results.append(values(ours.next_logits(network, tokens)))
    expect.array(
        results[1],
        results[0],
        call="next_logits after training in which progress asks for logits",
        rtol=1e-3,
        atol=1e-4,
    )
    expect.array(held, text, call="the text after training", rtol=0, atol=0)
