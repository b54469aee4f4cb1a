"""The recipe of milestone 5: how the network that writes is built, trained and run.

The grader calls these functions with its own arrays. A text is a uint8 array of its bytes. It consists of documents,
each of which ends with a byte 0, or it is one long text without that byte. You do not know its words and rules
beforehand: some are made up for this run. Three texts are learned, each by its own network: small Python functions,
stories, and real text.

Only prefixes are sent: `next_logits` returns logits, and the grader draws the next token itself. What your network has
learned must be in `network.parameters()` and `network.buffers()`. The grader takes both from the training process, adds
a little noise, and puts them into a network that `build` creates from the same merges in a different process.
"""

import numpy as np
from tinytorch.attention import sinusoidal_positions
from tinytorch.autograd import no_grad
from tinytorch.optimizers import AdamW, OneCycleLR
from tinytorch.tensor import Tensor
from tinytorch.tinygpt import GPT, Tokenizer, next_token_loss, train_bpe
from tinytorch.training import Trainer

VOCAB, CONTEXT, WIDTH, HEADS, DEPTH = 768, 96, 64, 4, 3
BATCH, STEPS, EPOCHS, LR = 16, 1800, 40, 3e-3
HIDDEN = 0.1  # the share of inputs that END replaces when training begins; it falls to 0
END = 0  # the token of the byte that ends each document


def learn_merges(text: np.ndarray) -> np.ndarray:
    """Return the merges of a tokenizer for this text, int64 of (m, 2): merge i joins two tokens into number 256 + i."""
    # BEGIN SOLUTION 16.13
    return np.array(train_bpe(text.tobytes(), VOCAB), np.int64).reshape(-1, 2)
    # END SOLUTION


def encode(merges: np.ndarray, data: bytes) -> np.ndarray:
    """Return the tokens of some bytes, int64 of (t,)."""
    # BEGIN SOLUTION 16.13
    return Tokenizer(merges).encode(data)
    # END SOLUTION


def build(merges: np.ndarray, rng: np.random.Generator) -> GPT:
    """Return a fresh network for the tokens of these merges, with weights drawn from `rng`.

    Its token embeddings begin five times as large as `Embedding` draws them, and its positions as module 07's waves, a
    tenth as high. Its attribute `tokenizer` is built from the merges, because `train` receives bytes.
    """
    # BEGIN SOLUTION 16.13
    network = GPT(256 + len(merges), CONTEXT, embed_dim=WIDTH, num_heads=HEADS, num_layers=DEPTH, rng=rng)
    network.token_embedding.weight.data *= 5  # a standard deviation of 0.1
    network.position_embedding.weight.data[...] = 0.1 * sinusoidal_positions(CONTEXT, WIDTH)
    network.tokenizer = Tokenizer(merges)
    return network
    # END SOLUTION


def logits(network: GPT, tokens: np.ndarray) -> np.ndarray:
    """Return the logits after each token: ints of (n, t), t up to the context length → (n, t, V)."""
    # BEGIN SOLUTION 16.13
    with no_grad():
        return network(Tensor(tokens)).numpy()
    # END SOLUTION


def next_logits(network: GPT, tokens: np.ndarray) -> np.ndarray:
    """Return the logits for the token after each row: (n, t) → (n, V); only the last CONTEXT tokens of a row count."""
    # BEGIN SOLUTION 16.13
    return logits(network, tokens[:, -CONTEXT:])[:, -1]
    # END SOLUTION


def attention_maps(network: GPT, tokens: np.ndarray) -> np.ndarray:
    """Return all attention weights, to be drawn: (n, t), t up to CONTEXT → (n, layers, heads, t, t)."""
    # BEGIN SOLUTION 16.13
    logits(network, tokens)
    return np.stack([block.self_attn.weights.numpy() for block in network.blocks], axis=1)
    # END SOLUTION


def find_windows(tokens: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the possible starts of training windows, int64 of (k,), and their length in inputs, one token less.

    If there are a hundred documents or more, take the 0.98 quantile of their sizes, END included, rounded down. If that
    is at most CONTEXT, it is the length, and each window begins with a document. In any other text, a window may begin
    anywhere and is CONTEXT long, or as long as a short text allows. No window extends beyond the text.
    """
    # BEGIN SOLUTION 16.14
    ends = np.flatnonzero(tokens == END)
    starts = np.append(0, ends[:-1] + 1)
    if len(ends) < 100 or (length := int(np.quantile(ends + 1 - starts, 0.98))) > CONTEXT:
        starts, length = np.arange(len(tokens)), min(CONTEXT, len(tokens) - 1)
    return starts[starts + length < len(tokens)], length
    # END SOLUTION


def train(network: GPT, text: np.ndarray, *, rng: np.random.Generator, progress) -> None:
    """Train the network in place on a text. `rng` is for everything that is random in training.

    Call `progress(step, steps, loss)` about 50 times, after a step and also after the last one. Its arguments are two
    ints, and the loss of that step's batch as a Python float; it may call `logits` and `next_logits`. Take as many
    steps as read STEPS · CONTEXT tokens in each row of a batch, or EPOCHS times the text, whichever is less, rounded
    down, and at least one. In step 1 to `steps`, each input is END with probability HIDDEN · (1 - step / steps).
    Training may take `train_seconds` of CPU time.
    """
    # BEGIN SOLUTION 16.15
    tokens = network.tokenizer.encode(text.tobytes())
    starts, length = find_windows(tokens)
    steps = max(1, min(STEPS * CONTEXT, EPOCHS * len(tokens) // BATCH) // length)
    optimizer = AdamW(network.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = OneCycleLR(optimizer, max_lr=LR, total_steps=steps, pct_start=0.03)
    trainer = Trainer(network, next_token_loss, optimizer, scheduler=schedule, max_norm=1.0, metrics={})
    for step in range(1, steps + 1):
        windows = tokens[rng.choice(starts, BATCH)[:, None] + np.arange(length + 1)]
        hidden = rng.random((BATCH, length)) < HIDDEN * (1 - step / steps)
        figures = trainer.train_step(Tensor(np.where(hidden, END, windows[:, :-1])), Tensor(windows[:, 1:]))
        if step % max(1, steps // 50) == 0 or step == steps:
            progress(step, steps, figures["loss"])
    # END SOLUTION
