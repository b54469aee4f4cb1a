"""A network that writes: text becomes tokens, a transformer predicts the next token, and sampling continues the text.

Read it in this order: byte-pair encoding, embedding, layer normalisation, attention with a cache, the block, the
network, loss and bits per byte, sampling. Module 09's Tape differentiates everything.
"""

# ruff: noqa: ARG001, ARG002 - every backward takes all the arguments that `Op` passes, even if it does not need them

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.attention import MultiHeadAttention, merge_heads, scaled_dot_product_attention, split_heads
from tinytorch.autograd import no_grad
from tinytorch.dense import cross_entropy
from tinytorch.layers import Dense, Layer, Sequential, linear
from tinytorch.optimizers import check_range
from tinytorch.spatial import OpLayer
from tinytorch.tensor import Op, Tensor, apply, wrap

BYTES = 256  # the first tokens are the bytes themselves
# Cuts text before pairs are counted, so that no token crosses from one word into the next. A word, a digit or a run of
# symbols includes the space before it. White space and the byte 0, which ends a document, are pieces of their own.
PIECES = re.compile(rb" ?[A-Za-z]+| ?[0-9]| ?[^\s\x00A-Za-z0-9]+| +(?= )|[\s\x00]")


def join_pieces(pieces: Iterable[bytes]) -> np.ndarray:
    """Return the bytes of all pieces as int64 tokens, with -1 after each piece: b"ab", b"c" → [97, 98, -1, 99, -1]."""
    pieces = list(pieces)
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return np.insert(np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64), ends, -1)


def merge_pair(tokens: np.ndarray, pair: tuple[int, int], new: int) -> np.ndarray:
    """Return the tokens with `new` for every occurrence of `pair`, found from left to right; `tokens` stay as they are.

    [1, 2, 3, 1, 2] with (1, 2) → 9 becomes [9, 3, 9]; [5, 5, 5] with (5, 5) → 9 becomes [9, 5].
    """
    # BEGIN SOLUTION 16.1
    places = np.flatnonzero((tokens[:-1] == pair[0]) & (tokens[1:] == pair[1]))
    if pair[0] == pair[1]:
        runs = places - np.arange(len(places))  # the same number within a run of positions that overlap
        places = places[(np.arange(len(places)) - np.searchsorted(runs, runs)) % 2 == 0]  # every other one of a run
    merged = tokens.copy()
    merged[places] = new
    return np.delete(merged, places + 1)
    # END SOLUTION


def train_bpe(data: bytes, vocab_size: int) -> list[tuple[int, int]]:
    """Return at most vocab_size - 256 merges of byte-pair encoding, in the order found: merge i creates token 256 + i.

    The most frequent pair of neighbours within a piece is merged, again and again. Among equally frequent pairs, the
    smallest is merged: the smaller left token decides, then the smaller right one. Every position counts, so b"aaa" has
    (97, 97) twice. Merging ends at `vocab_size` tokens, or if no pair occurs twice. Raise ValueError below 256.
    """
    check_range("vocab_size", vocab_size, BYTES)
    # BEGIN SOLUTION 16.2
    pieces, merges = Counter(PIECES.findall(data)), []
    tokens, counts = join_pieces(pieces), np.array(list(pieces.values()), np.int64)
    while BYTES + len(merges) < vocab_size:
        left, right, piece = tokens[:-1], tokens[1:], np.cumsum(tokens < 0)[:-1]
        inside = (left >= 0) & (right >= 0)
        pairs, which = np.unique(left[inside] * vocab_size + right[inside], return_inverse=True)
        totals = np.bincount(which, weights=counts[piece[inside]])
        if totals.max(initial=0) < 2:
            break
        merges.append(divmod(int(pairs[totals.argmax()]), vocab_size))  # argmax takes the first, which is the smallest
        tokens = merge_pair(tokens, merges[-1], BYTES + len(merges) - 1)
    return merges
    # END SOLUTION


def check_tokens(tokens, vocab_size: int) -> np.ndarray:
    """Return int64 tokens. Raise TypeError if they are not integers, ValueError if not from 0 to vocab_size - 1."""
    tokens = np.asarray(tokens)
    if tokens.size and tokens.dtype.kind not in "iu":
        raise TypeError(f"tokens must be integers, not {tokens.dtype}")
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise ValueError(f"tokens are from {tokens.min()} to {tokens.max()}, but must be from 0 to {vocab_size - 1}")
    return tokens.astype(np.int64)


class Tokenizer:
    """Turns any bytes into tokens and back. `vocab[token]` is the bytes that a token stands for."""

    def __init__(self, merges: Iterable[Sequence[int]]):
        self.merges = [(int(left), int(right)) for left, right in merges]
        # BEGIN SOLUTION 16.3
        self.vocab = [bytes([byte]) for byte in range(BYTES)]
        for left, right in self.merges:
            self.vocab.append(self.vocab[left] + self.vocab[right])
        # END SOLUTION

    def encode(self, data: bytes) -> np.ndarray:
        """Return the tokens of `data`, int64 of (n,): all merges are applied to each piece, in their order."""
        # BEGIN SOLUTION 16.3
        pieces = PIECES.findall(data)
        unique = dict.fromkeys(pieces)  # a word that occurs a thousand times is encoded once
        tokens = join_pieces(unique)
        for new, pair in enumerate(self.merges, start=BYTES):
            tokens = merge_pair(tokens, pair, new)
        parts = np.split(tokens, np.flatnonzero(tokens < 0) + 1)
        encoded = {piece: part[:-1] for piece, part in zip(unique, parts, strict=False)}
        return np.concatenate([np.empty(0, np.int64), *(encoded[piece] for piece in pieces)])
        # END SOLUTION

    def decode(self, tokens) -> bytes:
        """Return the bytes of tokens, a list or an array (n,). Raise the errors of `check_tokens`."""
        # BEGIN SOLUTION 16.3
        return b"".join(self.vocab[token] for token in check_tokens(tokens, len(self.vocab)))
        # END SOLUTION


def embedding_forward(weight, *, indices):
    """Return rows of `weight`, (V, E), at `indices`, ints (…), as (…, E). Raise the errors of `check_tokens`."""
    # BEGIN SOLUTION 16.4
    return weight[check_tokens(indices, len(weight))]
    # END SOLUTION


def embedding_backward(grad, output, weight, *, indices):
    """Return `(grad_weight,)`: each row is the sum of the gradients of all positions that use it, or 0."""
    # BEGIN SOLUTION 16.4
    total, dim = np.zeros(weight.size, grad.dtype), weight.shape[1]
    places = np.reshape(indices, (-1, 1)).astype(np.int64) * dim + np.arange(dim)
    np.add.at(total, places.ravel(), grad.ravel())  # add.at is compiled for single numbers, but not for rows
    return (total.reshape(weight.shape),)
    # END SOLUTION


embedding = Op("embedding", embedding_forward, embedding_backward)


class Composite(Sequential):
    """A layer whose `layers` do not form a chain, with their parameters and buffers; a second input holds caches."""

    def __call__(self, *inputs) -> Tensor:
        """Return `forward(*inputs)`."""
        return self.forward(*inputs)

    def backward(self, grad: Tensor) -> Tensor:
        """Raise RuntimeError: module 09's Tape differentiates this layer."""
        raise RuntimeError(f"{type(self).__name__} does not have its own backward: record it with a Tape (module 09)")


class Embedding(Layer):
    """A table with one row for each token: ints (…) → (…, embedding_dim).

    `weight`, float32 of (num_embeddings, embedding_dim), is normal with mean 0 and standard deviation 0.02, from `rng`,
    as in GPT-2. (PyTorch's Embedding has a standard deviation of 1.)
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: np.random.Generator):
        # BEGIN SOLUTION 16.4
        self.weight = Tensor(rng.normal(0, 0.02, (num_embeddings, embedding_dim)), dtype="float32")
        # END SOLUTION

    def parameters(self) -> list[Tensor]:
        """Return [weight]."""
        return [self.weight]

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of tokens. The integer tensor is an attribute of the op, since it has no gradient."""
        # BEGIN SOLUTION 16.4
        return apply(embedding, self.weight, indices=x.data)
        # END SOLUTION


def normalise_rows(x, eps):
    """Return `(normal, std)`: (x - mean) / std along the last axis, and std = √(variance + eps), with last size 1."""
    # BEGIN SOLUTION 16.5
    centered = x - x.mean(axis=-1, keepdims=True)
    std = np.sqrt(np.mean(centered * centered, axis=-1, keepdims=True) + eps)
    return centered / std, std
    # END SOLUTION


def layer_norm_forward(x, weight, bias, *, eps):
    """Return weight · (x - mean) / √(variance + eps) + bias; the variance divides by E. (…, E), (E,), (E,) → (…, E).

    Raise ValueError, with both sizes, unless the last size of `x` is E.
    """
    if x.shape[-1:] != weight.shape:
        raise ValueError(f"the last size of {x.shape} must be {len(weight)}, the size that is normalised")
    # BEGIN SOLUTION 16.5
    return normalise_rows(x, eps)[0] * weight + bias
    # END SOLUTION


def layer_norm_backward(grad, output, x, weight, bias, *, eps):
    """Return `(grad_x, grad_weight, grad_bias)`, each in the shape of its array."""
    # BEGIN SOLUTION 16.5
    normal, std = normalise_rows(x, eps)
    scaled, leading = grad * weight, tuple(range(x.ndim - 1))
    along = np.mean(scaled * normal, axis=-1, keepdims=True)
    grad_x = (scaled - scaled.mean(axis=-1, keepdims=True) - normal * along) / std
    return grad_x, (grad * normal).sum(axis=leading), grad.sum(axis=leading)
    # END SOLUTION


layer_norm = Op("layer_norm", layer_norm_forward, layer_norm_backward)


class LayerNorm(OpLayer):
    """Normalises the features of each token (Ba et al., 2016); `weight` starts as ones, `bias` as zeros, in float32."""

    def __init__(self, normalized_shape: int, eps: float = 1e-5):
        super().__init__(layer_norm, eps=eps)
        # BEGIN SOLUTION 16.5
        self.weight = Tensor(np.ones(normalized_shape), dtype="float32")
        self.bias = Tensor(np.zeros(normalized_shape), dtype="float32")
        # END SOLUTION


class KVCache:
    """The keys and values of the `length` tokens that one attention layer has seen, with room for `capacity` tokens."""

    def __init__(self, capacity: int):
        self.capacity, self.length, self.keys, self.values = capacity, 0, None, None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values of L new tokens, (N, H, L, d) each; return those of all so far, (N, H, length, d) each.

        If there is not enough room, raise ValueError with the capacity, and add nothing.
        """
        # BEGIN SOLUTION 16.6
        start, end = self.length, self.length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"a cache for {self.capacity} tokens cannot hold {end}")
        if start == 0:
            self.keys, self.values = np.empty((2, *keys.shape[:2], self.capacity, keys.shape[3]), keys.dtype)
        self.keys[:, :, start:end], self.values[:, :, start:end], self.length = keys.data, values.data, end
        return wrap(self.keys[:, :, :end]), wrap(self.values[:, :, :end])
        # END SOLUTION


class CausalSelfAttention(MultiHeadAttention):
    """Module 07's attention of each token to itself and to earlier tokens: (N, L, E) → (N, L, E)."""

    __call__ = Composite.__call__  # module 07's `__call__` passes on a key, a value and a mask

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return the outputs, and set `weights`. With a cache, `x` holds the tokens after its tokens and is added."""
        # BEGIN SOLUTION 16.7
        query, key, value = (split_heads(layer(x), self.num_heads) for layer in (self.q_proj, self.k_proj, self.v_proj))
        if cache is not None:
            key, value = cache.append(key, value)
        length, seen = query.shape[2], key.shape[2]
        mask = np.arange(seen) <= np.arange(seen - length, seen)[:, None]  # the last rows of causal_mask(seen)
        output, self.weights = scaled_dot_product_attention(query, key, value, mask)
        return self.out_proj(merge_heads(output))
        # END SOLUTION


class Block(Composite):
    """Attention, then dense layers E → 4E → E with a ReLU, both after a normalisation (Xiong et al., 2020).

    `norm1`, `self_attn`, `norm2` and `mlp` are its layers, drawn from `rng` in this order.
    """

    def __init__(self, embed_dim: int, num_heads: int, *, rng: np.random.Generator):
        # BEGIN SOLUTION 16.8
        self.norm1, self.norm2 = LayerNorm(embed_dim), LayerNorm(embed_dim)
        self.self_attn = CausalSelfAttention(embed_dim, num_heads, rng=rng)
        widen, narrow = Dense(embed_dim, 4 * embed_dim, rng=rng), Dense(4 * embed_dim, embed_dim, rng=rng)
        self.mlp = Sequential(widen, ReLU(), narrow)
        self.layers = [self.norm1, self.self_attn, self.norm2, self.mlp]
        # END SOLUTION

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """Return y + mlp(norm2(y)) with y = x + attention(norm1(x)): (N, L, E) → (N, L, E)."""
        # BEGIN SOLUTION 16.8
        x = x + self.self_attn(self.norm1(x), cache)
        return x + self.mlp(self.norm2(x))
        # END SOLUTION


class GPT(Composite):
    """Predicts the next token at every position: tokens (N, L) → logits (N, L, vocab_size) (Radford et al., 2019).

    `token_embedding`, `position_embedding`, `blocks` and `norm` are drawn from `rng` in this order. The head, which
    turns features into logits, shares the weight of `token_embedding`, without a bias. `parameters()` lists it once.
    """

    def __init__(self, vocab_size: int, context_length: int, embed_dim: int, num_heads: int, num_layers: int, *, rng):
        self.context_length = context_length
        # BEGIN SOLUTION 16.9
        self.token_embedding = Embedding(vocab_size, embed_dim, rng=rng)
        self.position_embedding = Embedding(context_length, embed_dim, rng=rng)
        self.blocks = [Block(embed_dim, num_heads, rng=rng) for _ in range(num_layers)]
        self.norm = LayerNorm(embed_dim)
        self.layers = [self.token_embedding, self.position_embedding, *self.blocks, self.norm]
        # END SOLUTION

    def new_caches(self) -> list[KVCache]:
        """Return an empty cache for each block."""
        return [KVCache(self.context_length) for _ in self.blocks]

    def forward(self, x: Tensor, caches: Sequence[KVCache] | None = None) -> Tensor:
        """Return the logits for the token after each of `x`; with caches, `x` follows their tokens and is added.

        Raise ValueError, naming context_length, if there are more than context_length tokens in total.
        """
        # BEGIN SOLUTION 16.9
        start = caches[0].length if caches else 0
        end = start + x.shape[1]
        if end > self.context_length:
            raise ValueError(f"{end} tokens are more than the context_length, {self.context_length}")
        x = self.token_embedding(x) + self.position_embedding(Tensor(np.arange(start, end)))
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, cache)
        return apply(linear, self.norm(x), self.token_embedding.weight)
        # END SOLUTION


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats, of logits (N, L, V) and the actual next tokens, (N, L)."""
    # BEGIN SOLUTION 16.10
    return apply(cross_entropy, logits.reshape(-1, logits.shape[-1]), target=targets.data.ravel())
    # END SOLUTION


def evaluate_text(model: GPT, tokenizer: Tokenizer, data: bytes) -> dict[str, float]:
    """Return {"loss": nats per token, "perplexity": e to that, "bits_per_byte": bits ÷ predicted bytes} of a text.

    The first token is given, and each other token is predicted once, with nothing recorded. Windows have context_length
    tokens; each begins with the last token that the previous one predicts. Raise ValueError if there are fewer than
    two tokens.
    """
    tokens, nats = tokenizer.encode(data), 0.0
    if len(tokens) < 2:
        raise ValueError(f"a text of {len(tokens)} tokens has nothing to predict")
    # BEGIN SOLUTION 16.10
    with no_grad():
        for start in range(0, len(tokens) - 1, model.context_length):
            window = tokens[start : start + model.context_length + 1]
            loss = next_token_loss(model(Tensor(window[None, :-1])), Tensor(window[None, 1:]))
            nats += loss.item() * (len(window) - 1)
    loss, size = nats / (len(tokens) - 1), len(tokenizer.decode(tokens[1:]))
    return {"loss": loss, "perplexity": math.exp(loss), "bits_per_byte": nats / math.log(2) / size}
    # END SOLUTION


def sampling_probabilities(logits, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None):
    """Return the probabilities, float64 of (…, V), with which to draw the next token, given its logits, (…, V).

    The steps are softmax(logits / temperature), then only the `top_k` likeliest, then of these only the fewest
    likeliest whose sum is at least `top_p`. After each cut, the rest is scaled to a sum of 1. Among equal logits, the
    smaller token counts as likelier. A temperature of 0 keeps only the likeliest. Raise ValueError if the temperature
    is below 0, `top_k` below 1, or `top_p` not above 0 and at most 1.
    """
    check_range("temperature", temperature, 0)
    check_range("top_k", 1 if top_k is None else top_k, 1)
    check_range("top_p", 1 if top_p is None else top_p, math.ulp(0.0), 1)
    # BEGIN SOLUTION 16.11
    if temperature == 0:
        temperature, top_k = 1.0, 1
    order = np.argsort(-logits, axis=-1, kind="stable")
    falling = np.take_along_axis(logits, order, axis=-1).astype(np.float64)
    p = np.exp((falling - falling[..., :1]) / temperature)
    if top_k is not None:
        p[..., top_k:] = 0
    p /= p.sum(axis=-1, keepdims=True)
    if top_p is not None:
        p[np.cumsum(p, axis=-1) - p >= top_p] = 0  # the tokens up to here are enough
        p /= p.sum(axis=-1, keepdims=True)
    return np.take_along_axis(p, np.argsort(order, axis=-1), axis=-1)  # in the order of the tokens again
    # END SOLUTION


def sample(probabilities, rng: np.random.Generator) -> np.ndarray:
    """Return one token, int64, for each row of probabilities: (N, V) → (N,). Tokens of probability 0 are not drawn."""
    # BEGIN SOLUTION 16.12
    reached = np.cumsum(probabilities, axis=-1)
    return (reached <= rng.random((len(reached), 1)) * reached[:, -1:]).sum(axis=-1)
    # END SOLUTION


def generate(model: GPT, tokens, max_new_tokens: int, *, rng, temperature=1.0, top_k=None, top_p=None) -> np.ndarray:
    """Return `tokens`, ints of (N, L), with `max_new_tokens` more in each row, or raise ValueError if they do not fit.

    The network sees up to context_length tokens, each once: caches hold earlier keys and values. Nothing is recorded.
    """
    # BEGIN SOLUTION 16.12
    new, caches = tokens, model.new_caches()
    with no_grad():
        for _ in range(max_new_tokens):
            logits = model(Tensor(new), caches).data[:, -1]
            new = sample(sampling_probabilities(logits, temperature, top_k, top_p), rng)[:, None]
            tokens = np.concatenate([tokens, new], axis=1)
    return tokens
    # END SOLUTION
