"""Attention: every token looks at all tokens and takes more from those that match. Language models are built on it.

Read it in this order: scores, masks, the op that applies a mask, attention, heads, the layer, positions.
Masks are bool arrays, True where attending is allowed. Only `masked_fill` has its own backward function: everything
else is composed of recorded ops, and module 09 differentiates whatever was recorded.
"""

# ruff: noqa: ARG001, ARG002 - every backward function takes all that `Op` passes, even if it does not need all of it

from __future__ import annotations

import math

import numpy as np
from tinytorch.activations import softmax
from tinytorch.layers import Dense, Layer
from tinytorch.tensor import Op, Tensor, apply, as_floating, broadcast_shape


def attention_scores(query: Tensor, key: Tensor) -> Tensor:
    """Return how well each query matches each key, q · k / √d: (..., L, d) and (..., S, d) → (..., L, S).

    Raise ValueError if the last sizes differ (Vaswani et al., 2017, section 3.2.1).

    >>> attention_scores(Tensor([[2.0, 0.0, 0.0, 2.0]]), Tensor([[1.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 3.0]]))
    Tensor([[1., 6.]])
    """
    # BEGIN SOLUTION 7.1
    leading = range(key.ndim - 2)
    return query @ key.transpose(*leading, key.ndim - 1, key.ndim - 2) / math.sqrt(key.shape[-1])
    # END SOLUTION


def causal_mask(length: int) -> np.ndarray:
    """Return bools of shape (length, length): row i is True up to column i, so no token sees a later one.

    >>> causal_mask(3).astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    # BEGIN SOLUTION 7.2
    return np.tri(length, dtype=bool)
    # END SOLUTION


def padding_mask(lengths, length: int) -> np.ndarray:
    """Return bools of shape (N, 1, length): True for the first `lengths[n]` tokens of sequence n, False for padding.

    `lengths` is a list or an array of N ints. Raise ValueError unless each is from 0 to `length`.

    >>> padding_mask([1, 3], 3).astype(int).tolist()
    [[[1, 0, 0]], [[1, 1, 1]]]
    """
    lengths = np.asarray(lengths, dtype=np.int64)
    if (lengths < 0).any() or (lengths > length).any():
        raise ValueError(f"sequences padded to {length} tokens cannot have the lengths {lengths.tolist()}")
    # BEGIN SOLUTION 7.2
    return np.arange(length) < lengths[:, None, None]
    # END SOLUTION


def check_mask(mask, shape) -> None:
    """Raise TypeError unless `mask` is an array of bools, ValueError unless it broadcasts to `shape`."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        raise TypeError(f"a mask must be an array of bools, not {getattr(mask, 'dtype', type(mask).__name__)}")
    if broadcast_shape(mask.shape, shape) != shape:
        raise ValueError(f"a mask of shape {mask.shape} does not broadcast to {shape}, because it is larger")


def masked_fill_forward(x, *, mask, value):
    """Return `value` where `mask` is True and `x` where it is False: [1.0, 2.0], [True, False], 0 → [0.0, 2.0].

    `mask` broadcasts to the shape of `x`. The result has the shape and dtype of `x`; integers count as float32.
    Raise TypeError for a mask that does not hold bools, and ValueError for one that does not broadcast to `x`.
    """
    check_mask(mask, x.shape)
    # BEGIN SOLUTION 7.3
    filled = as_floating(x).copy()
    np.copyto(filled, value, where=mask)  # twice as fast as np.where, which chooses between two arrays
    return filled
    # END SOLUTION


def masked_fill_backward(grad, output, x, *, mask, value):
    """Return `(grad_x,)`: 0 where `mask` is True, because `x` had no effect there, and `grad` where it is False."""
    # BEGIN SOLUTION 7.3
    return (masked_fill_forward(grad, mask=mask, value=0),)
    # END SOLUTION


masked_fill = Op("masked_fill", masked_fill_forward, masked_fill_backward)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, mask=None) -> tuple[Tensor, Tensor]:
    """Return `(output, weights)`: weights = softmax(scores) over the keys, output = weights @ value.

    Shapes: (..., L, d), (..., S, d), (..., S, e) → (..., L, e) and (..., L, S). Each row of weights adds up to 1.
    `mask`, bools that broadcast to the weights, is True where a query may attend. Where it is False, weights are
    exactly 0. A query that may not attend to anything, for example because S is 0, has weights and an output of 0.
    Raise ValueError for shapes that do not fit, including the mask's, and TypeError for a mask of anything but bools.

    >>> query, value = Tensor([[0.0]]), Tensor([[1.0], [3.0], [8.0]])
    >>> scaled_dot_product_attention(query, Tensor([[1.0], [2.0], [3.0]]), value, np.array([True, True, False]))
    (Tensor([[2.]]), Tensor([[0.5, 0.5, 0. ]]))
    """
    # BEGIN SOLUTION 7.4
    scores = attention_scores(query, key)
    if mask is None:
        weights = apply(softmax, scores, axis=-1)
    else:
        check_mask(mask, scores.shape)
        lowest = float(np.finfo(scores.dtype).min) / 2  # finite, so that a fully masked row stays free of NaN
        weights = apply(softmax, apply(masked_fill, scores, mask=~mask, value=lowest), axis=-1)
        weights = apply(masked_fill, weights, mask=~mask, value=0.0)  # a fully masked row would have weights of 1/S
    return weights @ value, weights
    # END SOLUTION


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Return each token's features in `num_heads` equal parts: (N, L, E) → (N, num_heads, L, E / num_heads).

    The features of head h start at h · E / num_heads. Raise ValueError, with the shape, if E cannot be split.
    """
    if x.ndim != 3 or num_heads < 1 or x.shape[-1] % num_heads:
        raise ValueError(f"{x.shape} is not a batch (N, L, E) whose E {num_heads} heads can share equally")
    # BEGIN SOLUTION 7.5
    n, length, embed_dim = x.shape
    return x.reshape(n, length, num_heads, embed_dim // num_heads).transpose(0, 2, 1, 3)
    # END SOLUTION


def merge_heads(x: Tensor) -> Tensor:
    """Undo `split_heads`: return the features of all heads side by side, (N, H, L, d) → (N, L, H · d)."""
    # BEGIN SOLUTION 7.5
    n, num_heads, length, head_dim = x.shape
    return x.transpose(0, 2, 1, 3).reshape(n, length, num_heads * head_dim)
    # END SOLUTION


class MultiHeadAttention(Layer):
    """Several attention heads, each with its own part of the features (Vaswani et al., 2017, section 3.2.2).

    `q_proj`, `k_proj`, `v_proj` and `out_proj` are Dense layers from embed_dim to embed_dim. They are drawn from `rng`
    in this order, and have no biases if `bias` is False. `weights` holds the attention weights of the latest call, (N,
    num_heads, L, S). Raise ValueError, with both numbers, unless num_heads divides embed_dim.

    >>> layer = MultiHeadAttention(8, 2, rng=np.random.default_rng(0))
    >>> layer(Tensor(np.ones((3, 5, 8), "float32"))).shape, layer.weights.shape
    ((3, 5, 8), (3, 2, 5, 5))
    """

    def __init__(self, embed_dim: int, num_heads: int, bias: bool = True, *, rng: np.random.Generator):
        self.embed_dim, self.num_heads, self.weights = embed_dim, num_heads, None
        # BEGIN SOLUTION 7.6
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {embed_dim} features equally")
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (
            Dense(embed_dim, embed_dim, bias=bias, rng=rng) for _ in range(4)
        )
        # END SOLUTION

    def __call__(self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask=None) -> Tensor:
        """Return `forward(query, key, value, mask)`."""
        return self.forward(query, key, value, mask)

    def parameters(self) -> list[Tensor]:
        """Return the parameters of q_proj, k_proj, v_proj and out_proj, in this order, as one flat list."""
        # BEGIN SOLUTION 7.6
        layers = self.q_proj, self.k_proj, self.v_proj, self.out_proj
        return [parameter for layer in layers for parameter in layer.parameters()]
        # END SOLUTION

    def forward(self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask=None) -> Tensor:
        """Return what each query takes from the values, and set `weights`: (N, L, E), (N, S, E), (N, S, E) → (N, L, E).

        The key defaults to the query (self-attention), and the value to the key. `mask` holds bools, (L, S) for all
        sequences or (N, L, S) for each, where a size may be 1. It applies to all heads. Raise ValueError for shapes
        that do not fit.
        """
        # BEGIN SOLUTION 7.6
        key = query if key is None else key
        value = key if value is None else value
        projected = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        heads = (split_heads(x, self.num_heads) for x in projected)
        if np.ndim(mask) == 3:
            mask = mask[:, None]  # (N, 1, L, S): the same for every head
        output, self.weights = scaled_dot_product_attention(*heads, mask)
        return self.out_proj(merge_heads(output))
        # END SOLUTION

    def backward(self, grad: Tensor) -> Tensor:
        """Raise RuntimeError: gradients through four layers and three inputs are the work of module 09's Tape."""
        raise RuntimeError("MultiHeadAttention does not have its own backward: record it with a Tape (module 09)")


def sinusoidal_positions(length: int, dim: int) -> np.ndarray:
    """Return sines and cosines that encode each position p, float32 of shape (length, dim), for an even `dim`.

    Column 2i is sin(p / 10000^(2i/dim)) and column 2i + 1 the cosine of the same angle, within 1e-6 (Vaswani et al.,
    2017, section 3.5). Raise ValueError, with the number, for an odd `dim`, because each sine needs its cosine.

    >>> sinusoidal_positions(2, 4).round(2).tolist()[0]
    [0.0, 1.0, 0.0, 1.0]
    """
    # BEGIN SOLUTION 7.7
    if dim % 2:
        raise ValueError(f"sines and cosines come in pairs, so the number of features must be even, not {dim}")
    angles = np.arange(length)[:, None] / 10000 ** (np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, dim).astype("float32")
    # END SOLUTION
