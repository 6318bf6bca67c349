"""Causal self-attention with a cache of a class of the same file."""

import torch

from layers.cached_layers import Projected


class KeyValueCache:
    """Keys and values (B, H, M, d) of earlier tokens, and how many these are."""

    def __init__(self, max_len, n_heads, head_dim):
        self.count, self.values = 0, torch.zeros(2, 8, n_heads, max_len, head_dim)

    def __len__(self):
        return self.count

    def extend(self, k, v):
        first, self.count = self.count, self.count + k.shape[2]
        self.values = self.values.to(k.dtype)
        self.values[:, : len(k), :, first : self.count] = torch.stack([k, v])
        return self.values[:, : len(k), :, : self.count]


class Annotated(Projected):
    """The annotation names the class."""

    def forward(self, x, cache: "KeyValueCache | None" = None):
        q, k, v = self.projected(x)
        hidden = 0
        if cache is not None:
            hidden = self.hidden(cache)
            k, v = cache.extend(k, v)
        return self.attended(q, k, v, hidden)

    def hidden(self, cache):
        return 0


class AnnotatedUnaligned(Annotated):
    """A token sees as many keys as have come with it."""

    def hidden(self, cache):
        return len(cache)


class NamedAlone(Annotated):
    """No annotation: its file has one class of caches."""

    def forward(self, x, cache=None):
        return super().forward(x, cache)
