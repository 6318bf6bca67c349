"""Attention modules of flax, linen and nnx, right and with a mistake each."""

import jax
import jax.numpy as jnp
from flax import linen, nnx


def mixed(q, k, v, axis=-1, scale=None, mask=None):
    logits = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        logits = jnp.where(mask == 0, -9e15, logits)
    return jax.nn.softmax(logits, axis=axis) @ v


class FusedHeads(linen.Module):
    """A fused projection, head by head, made in setup."""

    embed_dim: int
    num_heads: int
    moved = True

    def setup(self):
        self.qkv_proj, self.o_proj = linen.Dense(3 * self.embed_dim), linen.Dense(self.embed_dim)

    def __call__(self, x, mask=None):
        batch, length, width = x.shape
        fused = self.qkv_proj(x).reshape(batch, length, self.num_heads, -1).transpose(0, 2, 1, 3)
        heads = mixed(*jnp.array_split(fused, 3, axis=-1), mask=mask)
        if self.moved:
            heads = heads.transpose(0, 2, 1, 3)
        return self.o_proj(heads.reshape(batch, length, width))


class FusedHeadsUnmoved(FusedHeads):
    moved = False


class CompactHeads(linen.Module):
    """Causal, with layers made where they are called."""

    n_head: int = 4
    n_embd: int = 32
    scale = None

    @linen.compact
    def __call__(self, x):
        batch, length, width = x.shape
        parts = jnp.split(linen.Dense(3 * width, name="c_attn")(x), 3, axis=-1)
        q, k, v = (a.reshape(batch, length, self.n_head, -1).swapaxes(1, 2) for a in parts)
        heads = mixed(q, k, v, scale=self.scale, mask=jnp.tril(jnp.ones((length, length))))
        return linen.Dense(width, name="c_proj")(heads.swapaxes(1, 2).reshape(batch, length, width))


class CompactHeadsUnscaled(CompactHeads):
    scale = 1.0


class RotaryHeads(linen.Module):
    """Rotated along the tokens."""

    axis = 1

    @linen.compact
    def __call__(self, x):
        q, k, v = (linen.DenseGeneral((3, 4), name=name)(x) for name in ("query", "key", "value"))
        q, k, v = (a.swapaxes(1, 2) for a in (self.turned(q), self.turned(k), v))
        return linen.DenseGeneral(x.shape[-1], axis=(-2, -1), name="out")(mixed(q, k, v).swapaxes(1, 2))

    def turned(self, a):
        angle = jnp.arange(a.shape[self.axis])[:, None] * 100.0 ** -jnp.arange(2)
        cos, sin = (jnp.expand_dims(f(angle), 3 - self.axis - 1) for f in (jnp.cos, jnp.sin))
        first, second = jnp.split(a, 2, axis=-1)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class RotaryAlongHeads(RotaryHeads):
    axis = 2


class FourLinears(nnx.Module):
    """The modules of nnx hold their parameters."""

    axis = -1

    def __init__(self, dim: int, heads: int, rngs: nnx.Rngs):
        self.heads = heads
        self.q, self.k, self.v = (nnx.Linear(dim, dim, rngs=rngs) for _ in range(3))
        self.out = nnx.Linear(dim, dim, rngs=rngs)

    def __call__(self, x):
        batch, length, width = x.shape
        q, k, v = (lin(x).reshape(batch, length, self.heads, -1).swapaxes(1, 2) for lin in (self.q, self.k, self.v))
        return self.out(mixed(q, k, v, axis=self.axis).swapaxes(1, 2).reshape(batch, length, width))


class FourLinearsOverHeads(FourLinears):
    axis = 1


builtin = linen.MultiHeadDotProductAttention(num_heads=3, qkv_features=12)
