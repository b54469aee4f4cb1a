"""The same module, made of other things: heaps, einsum, sorted rows, chunks, Gumbel noise."""

# ruff: noqa: ARG001

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections import Counter, defaultdict
from functools import partial

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.attention import MultiHeadAttention
from tinytorch.autograd import no_grad
from tinytorch.dense import CrossEntropyLoss
from tinytorch.layers import Dense, Layer
from tinytorch.tensor import Op, Tensor, apply

WORDS = re.compile(rb" ?(?:[A-Za-z]+|[0-9]|[^\s\0A-Za-z0-9]+)| +(?= )|[\s\0]")
einsum = partial(np.einsum, optimize=True)  # as products of matrices


def merge_pair(tokens, pair, new):
    """Token by token."""
    merged, place = [], 0
    while place < len(tokens):
        if place + 1 < len(tokens) and (tokens[place], tokens[place + 1]) == tuple(pair):
            merged.append(new)
            place += 2
        else:
            merged.append(tokens[place])
            place += 1
    return np.array(merged, np.int64)


def train_bpe(data, vocab_size):
    """Counts that are kept up to date, and a heap of pairs, with entries that may be out of date."""
    if vocab_size < 256:
        raise ValueError(f"a vocabulary of {vocab_size} has no room for 256 bytes")
    words = [(list(word), count) for word, count in Counter(WORDS.findall(data)).items()]
    counts, where = Counter(), defaultdict(set)

    def count(number, sign):
        tokens, weight = words[number]
        for pair in itertools.pairwise(tokens):
            counts[pair] += sign * weight
            where[pair].add(number)

    for number in range(len(words)):
        count(number, 1)
    heap = [(-total, pair) for pair, total in counts.items()]
    heapq.heapify(heap)
    merges = []
    while heap and 256 + len(merges) < vocab_size:
        total, pair = heapq.heappop(heap)
        if counts[pair] != -total:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
            continue
        if -total < 2:
            break
        touched = set()
        for number in where.pop(pair):
            tokens, weight = words[number]
            touched |= set(itertools.pairwise(tokens))
            count(number, -1)
            words[number] = merge_pair(tokens, pair, 256 + len(merges)).tolist(), weight
            count(number, 1)
            touched |= set(itertools.pairwise(words[number][0]))
        merges.append(pair)
        for changed in touched:
            heapq.heappush(heap, (-counts[changed], changed))
    return merges


class Tokenizer:
    """Ranks, and for each word a heap of the pairs in a linked list."""

    def __init__(self, merges):
        self.merges = [tuple(pair) for pair in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.vocab = [bytes([byte]) for byte in range(256)]
        for left, right in self.merges:
            self.vocab += [self.vocab[left] + self.vocab[right]]

    def encode(self, data):
        """Word by word."""
        known, tokens = {}, []
        for word in WORDS.findall(data):
            if word not in known:
                known[word] = self.encode_word(word)
            tokens += known[word]
        return np.array(tokens, np.int64)

    def encode_word(self, word):
        """Take the lowest rank, and of equal ranks the first place."""
        tokens, after, before = list(word), list(range(1, len(word) + 1)), list(range(-1, len(word) - 1))
        pairs = enumerate(itertools.pairwise(tokens))
        heap = [(self.ranks[pair], place, pair) for place, pair in pairs if pair in self.ranks]
        heapq.heapify(heap)
        while heap:
            rank, place, pair = heapq.heappop(heap)
            right = after[place]
            if right >= len(tokens) or (tokens[place], tokens[right]) != pair:
                continue
            tokens[place], tokens[right] = 256 + rank, None
            after[place] = after[right]
            if after[place] < len(tokens):
                before[after[place]] = place
            for left in (before[place], place):
                end = after[left] if left >= 0 else len(tokens)
                if end < len(tokens) and (tokens[left], tokens[end]) in self.ranks:
                    pair = tokens[left], tokens[end]
                    heapq.heappush(heap, (self.ranks[pair], left, pair))
        return [token for token in tokens if token is not None]

    def decode(self, tokens):
        """The bytes of each."""
        tokens = np.asarray(tokens)
        return b"".join(self.vocab[token] for token in valid(tokens, len(self.vocab)).tolist())


def valid(tokens, size):
    """The tokens, if they are some."""
    if tokens.size and tokens.dtype.kind not in "iu":
        raise TypeError("no integers")
    if tokens.size and (tokens.min() < 0 or tokens.max() >= size):
        raise ValueError(f"tokens are below {size} and not negative")
    return tokens.astype(np.int64)


def embedding_forward(weight, *, indices):
    """Rows."""
    return np.take(weight, valid(np.asarray(indices), len(weight)), axis=0)


def embedding_backward(grad, output, weight, *, indices):
    """Sums over runs of equal indices, after a sort."""
    total = np.zeros_like(weight)
    flat, rows = np.ravel(indices).astype(np.int64), grad.reshape(-1, weight.shape[1])
    if flat.size:
        order = np.argsort(flat, kind="stable")
        starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
        total[flat[order][starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return (total,)


embedding = Op("embedding", embedding_forward, embedding_backward)


class Embedding(Layer):
    """A table."""

    def __init__(self, num_embeddings, embedding_dim, *, rng):
        self.weight = Tensor((0.02 * rng.standard_normal((num_embeddings, embedding_dim))).astype(np.float32))

    def parameters(self):
        """The table."""
        return [self.weight]

    def forward(self, x):
        """Rows."""
        return apply(embedding, self.weight, indices=x.numpy())


def layer_norm_forward(x, weight, bias, *, eps):
    """With NumPy's own variance."""
    if x.ndim == 0 or x.shape[-1] != weight.size:
        raise ValueError(f"{x.shape} does not end with {weight.size}")
    return weight * ((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)) + bias


def layer_norm_backward(grad, output, x, weight, bias, *, eps):
    """The product with the Jacobian of each row."""
    inverse = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    normal, size = (x - x.mean(-1, keepdims=True)) * inverse, x.shape[-1]
    g = grad * weight
    rows = size * g - g.sum(-1, keepdims=True) - normal * einsum("...i,...i->...", g, normal)[..., None]
    flat = grad.reshape(-1, size), normal.reshape(-1, size)
    return rows * inverse / size, einsum("ni,ni->i", *flat), flat[0].sum(0)


layer_norm = Op("layer_norm", layer_norm_forward, layer_norm_backward)


class LayerNorm(Layer):
    """One row at a time."""

    def __init__(self, normalized_shape, eps=1e-5):
        self.eps = eps
        self.weight = Tensor(np.ones(normalized_shape, np.float32))
        self.bias = Tensor(np.zeros(normalized_shape, np.float32))

    def parameters(self):
        """Both."""
        return [self.weight, self.bias]

    def forward(self, x):
        """The op."""
        return apply(layer_norm, x, self.weight, self.bias, eps=self.eps)


class KVCache:
    """Chunks in two lists."""

    def __init__(self, capacity):
        self.capacity, self.length, self.chunks = capacity, 0, []

    def append(self, keys, values):
        """Put the chunks together each time."""
        new = keys.shape[2]
        if self.length + new > self.capacity:
            raise ValueError(f"there is room for {self.capacity} tokens and no more")
        self.length += new
        self.chunks.append((keys.data.copy(), values.data.copy()))
        return tuple(Tensor(np.concatenate(part, axis=2)) for part in zip(*self.chunks, strict=True))


def attend(q, k, heads):
    """The weights (N, H, L, S) of queries that are the last of the keys."""
    q, k = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k))
    scores = einsum("nlhd,nshd->nhls", q, k) / math.sqrt(q.shape[-1])
    scores = np.where(np.tril(np.ones(scores.shape[2:], bool), k.shape[1] - q.shape[1]), scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def attention_forward(q, k, v, *, heads):
    """All heads at once."""
    values = v.reshape(*v.shape[:2], heads, -1)
    return einsum("nhls,nshd->nlhd", attend(q, k, heads), values).reshape(q.shape)


def attention_backward(grad, output, q, k, v, *, heads):
    """The gradients of q, k and v."""
    weights = attend(q, k, heads)
    q, k, v, grad = (x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v, grad))
    grad_weights = einsum("nlhd,nshd->nhls", grad, v)
    inner = grad_weights - einsum("nhls,nhls->nhl", grad_weights, weights)[..., None]
    scores = weights * inner / math.sqrt(q.shape[-1])
    shares = (
        einsum("nhls,nshd->nlhd", scores, k),
        einsum("nhls,nlhd->nshd", scores, q),
        einsum("nhls,nlhd->nshd", weights, grad),
    )
    return tuple(share.reshape(*share.shape[:2], -1) for share in shares)


causal_attention = Op("causal_attention", attention_forward, attention_backward)


class CausalSelfAttention(MultiHeadAttention):
    """One op between the projections."""

    def __call__(self, x, cache=None):
        """The same as forward."""
        return self.forward(x, cache)

    def forward(self, x, cache=None):
        """The cache has an axis of heads, here of size 1."""
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if cache is not None:
            both = cache.append(*(Tensor(t.data[:, None]) for t in (key, value)))
            key, value = (Tensor(t.data[:, 0]) for t in both)
        self.weights = Tensor(attend(query.data, key.data, self.num_heads))
        return self.out_proj(apply(causal_attention, query, key, value, heads=self.num_heads))


class Feed(Layer):
    """Two dense layers."""

    def __init__(self, size, rng):
        self.widen, self.relu, self.narrow = Dense(size, 4 * size, rng=rng), ReLU(), Dense(4 * size, size, rng=rng)

    def parameters(self):
        """Of both."""
        return [*self.widen.parameters(), *self.narrow.parameters()]

    def forward(self, x):
        """One after the other."""
        return self.narrow(self.relu(self.widen(x)))


class Block(Layer):
    """Attention and dense layers."""

    def __init__(self, embed_dim, num_heads, *, rng):
        self.norm1, self.norm2 = LayerNorm(embed_dim), LayerNorm(embed_dim)
        self.self_attn, self.mlp = CausalSelfAttention(embed_dim, num_heads, rng=rng), Feed(embed_dim, rng)

    def __call__(self, x, cache=None):
        """The same as forward."""
        return self.forward(x, cache)

    def parameters(self):
        """In the order in which they are used."""
        return [p for part in (self.norm1, self.self_attn, self.norm2, self.mlp) for p in part.parameters()]

    def forward(self, x, cache=None):
        """Twice something is added."""
        middle = self.self_attn(self.norm1(x), cache) + x
        return self.mlp(self.norm2(middle)) + middle


class GPT(Layer):
    """The network; its head is a product with the transposed table."""

    def __init__(self, vocab_size, context_length, embed_dim, num_heads, num_layers, *, rng):
        self.context_length = context_length
        self.token_embedding = Embedding(vocab_size, embed_dim, rng=rng)
        self.position_embedding = Embedding(context_length, embed_dim, rng=rng)
        self.blocks, self.norm = [Block(embed_dim, num_heads, rng=rng) for _ in range(num_layers)], LayerNorm(embed_dim)

    def __call__(self, x, caches=None):
        """The same as forward."""
        return self.forward(x, caches)

    def parameters(self):
        """All, once."""
        parts = [self.token_embedding, self.position_embedding, *self.blocks, self.norm]
        return [p for part in parts for p in part.parameters()]

    def new_caches(self):
        """One for each block."""
        return [KVCache(self.context_length) for _ in self.blocks]

    def forward(self, x, caches=None):
        """Logits."""
        start = 0 if caches is None else caches[-1].length
        places = np.arange(start, start + x.shape[1])
        if len(places) and places[-1] >= self.context_length:
            raise ValueError(f"there are only {self.context_length} positions")
        x = self.position_embedding(Tensor(places)) + self.token_embedding(x)
        for number, part in enumerate(self.blocks):
            x = part(x, None if caches is None else caches[number])
        return self.norm(x) @ self.token_embedding.weight.T


def next_token_loss(logits, targets):
    """Module 05's loss of the flattened logits."""
    n, length, size = logits.shape
    return CrossEntropyLoss()(logits.reshape(n * length, size), targets.reshape(n * length))


def evaluate_text(model, tokenizer, data):
    """Window by window."""
    tokens, size = tokenizer.encode(data), model.context_length
    if len(tokens) < 2:
        raise ValueError("nothing to predict")
    bits = []
    with no_grad():
        for start in range(0, len(tokens) - 1, size):
            logits = model(Tensor(tokens[start : start + size][None])).data[0].astype(float)
            targets = tokens[start + 1 : start + 1 + size]
            rows = logits[: len(targets)]
            top = rows.max(-1)
            logs = top + np.log(np.exp(rows - top[:, None]).sum(-1))
            bits += ((logs - rows[np.arange(len(targets)), targets]) / math.log(2)).tolist()
    mean = sum(bits) / len(bits)
    length = len(data) - len(tokenizer.vocab[tokens[0]])
    return {"loss": mean * math.log(2), "perplexity": 2.0**mean, "bits_per_byte": sum(bits) / length}


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Row by row."""
    if temperature < 0:
        raise ValueError(f"temperature {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p {top_p}")
    rows = logits.reshape(-1, logits.shape[-1]).astype(float)
    return np.array([cut(row, temperature, top_k, top_p) for row in rows]).reshape(logits.shape)


def cut(row, temperature, top_k, top_p):
    """Of one row."""
    if temperature == 0:
        return np.eye(len(row))[row.argmax()]
    p = np.exp((row - row.max()) / temperature)
    order = np.lexsort((np.arange(len(row)), -row))
    if top_k is not None:
        p[order[top_k:]] = 0
    p = p / p.sum()
    if top_p is not None:
        enough = int(np.searchsorted(np.cumsum(p[order]), top_p, side="left"))
        p[order[enough + 1 :]] = 0
    return p / p.sum()


def sample(probabilities, rng):
    """The largest of the logarithms with Gumbel noise."""
    with np.errstate(divide="ignore"):
        return (np.log(probabilities) + rng.gumbel(size=probabilities.shape)).argmax(axis=-1)


def generate(model, tokens, max_new_tokens, *, rng, temperature=1.0, top_k=None, top_p=None):
    """The prompt, too, goes in token by token."""
    tokens, caches = np.array(tokens, np.int64), model.new_caches()
    start = tokens.shape[1]
    with no_grad():
        for place in range(start + max_new_tokens - 1 if max_new_tokens else 0):
            logits = model(Tensor(tokens[:, place : place + 1]), caches).data[:, 0]
            if place + 1 >= start:
                new = sample(sampling_probabilities(logits, temperature, top_k, top_p), rng)
                tokens = np.concatenate([tokens, new[:, None]], axis=1)
    return tokens
