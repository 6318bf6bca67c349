"""Causal self-attention with caches of keys and values in the forms in use, and with mistakes in them."""

import torch
from torch import nn


class Projected(nn.Module):
    """Projections, and attention of queries that come last."""

    def __init__(self, dim, n_heads):
        super().__init__()
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def projected(self, x):
        return [w(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for w in (self.wq, self.wk, self.wv)]

    def attended(self, q, k, v, hidden=0):
        n, m = q.shape[2], k.shape[2]
        s = q @ k.transpose(-1, -2) / self.head_dim**0.5
        s = s.masked_fill(torch.ones(n, m, dtype=torch.bool).triu(m - n + 1 - hidden), -torch.inf)
        return self.wo((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class PairOfArguments(Projected):
    """Keys and values of the tokens before are two arguments, and a flag hides later tokens."""

    def forward(self, x, cached_keys=None, cached_values=None, use_causal=True):
        q, k, v = self.projected(x)
        if cached_keys is not None:
            k, v = torch.cat([cached_keys, k], 2), torch.cat([cached_values, v], 2)
        return self.attended(q, k, v, 0 if use_causal and self.hides(x, k) else -k.shape[2]), k, v

    def hides(self, x, k):
        return True


class PairOfArgumentsSeesLater(PairOfArguments):
    """With a cache, new tokens attend to those after them."""

    def hides(self, x, k):
        return x.shape[1] == k.shape[2]


class PairOfArgumentsOnlyCausalWithCache(PairOfArguments):
    def hides(self, x, k):
        return x.shape[1] < k.shape[2]


class OwnCache(Projected):
    """Keys and values are in buffers of its own."""

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        for name in ("cache_k", "cache_v"):
            self.register_buffer(name, torch.zeros(8, n_heads, 32, dim // n_heads), persistent=False)

    def forward(self, x, start_pos: int = 0):
        q, k, v = self.projected(x)
        first, last = self.places(start_pos, x.shape[1])
        self.cache_k[: len(x), :, first:last], self.cache_v[: len(x), :, first:last] = k, v
        k, v = (cache[: len(x), :, : start_pos + x.shape[1]] for cache in (self.cache_k, self.cache_v))
        return self.attended(q, k, v, self.moved(start_pos))

    def places(self, start_pos, count):
        return start_pos, start_pos + count

    def moved(self, start_pos):
        return 0


class OwnCacheUnaligned(OwnCache):
    """A token sees as many keys as have come with it."""

    def moved(self, start_pos):
        return start_pos


class OwnCacheOverwritten(OwnCache):
    """Later tokens overwrite the first."""

    def places(self, start_pos, count):
        return 0, count


class PositionAlone(OwnCache):
    """A position that it takes, and no cache."""

    def forward(self, x, start_pos: int = 0):
        return self.attended(*self.projected(x))


class DictCache(Projected):
    """Keys and values are put into a dictionary."""

    def forward(self, x, cache=None):
        q, k, v = self.projected(x)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
            cache["k"], cache["v"] = k, v
        return self.attended(q, k, v)


class DictCacheValuesLost(DictCache):
    """The values in the dictionary are its keys."""

    def forward(self, x, cache=None):
        output = super().forward(x, cache)
        if cache is not None:
            cache["v"] = cache["k"]
        return output


class ListCache(Projected):
    """Keys and values of each call are appended to a list."""

    def forward(self, x, cache=None):
        q, k, v = self.projected(x)
        if cache is not None:
            self.extend(cache, (k, v))
            k, v = (torch.cat(parts, 2) for parts in zip(*cache, strict=True))
        return self.attended(q, k, v)

    def extend(self, cache, pair):
        cache.append(pair)


class ListCacheReversed(ListCache):
    def extend(self, cache, pair):
        cache.insert(0, pair)


class ObjectCache(Projected):
    """A cache in the manner of transformers."""

    def forward(self, x, past_key_values=None):
        q, k, v = self.projected(x)
        if past_key_values is not None:
            k, v = past_key_values.update(k, v, 0)
        return self.attended(q, k, v)


class ObjectCacheSwapped(Projected):
    """A cache that is given values as keys."""

    def forward(self, x, past_key_values=None):
        q, k, v = self.projected(x)
        if past_key_values is not None:
            v, k = past_key_values.update(v, k, 0)
            k, v = (k, v) if k.shape[2] == x.shape[1] else (v, k)
        return self.attended(q, k, v)


class FlaggedCache(Projected):
    """Keys and values are kept from call to call where `use_cache` is set."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = None

    def joined(self, k, v):
        if self.kept is not None:
            k, v = torch.cat([self.kept[0], k], 2), torch.cat([self.kept[1], v], 2)
        self.kept = k, v
        return k, v

    def forward(self, x, use_cache=False):
        q, k, v = self.projected(x)
        if use_cache:
            k, v = self.joined(k, v)
        return self.attended(q, k, v)


class FlaggedCacheUnread(FlaggedCache):
    """What is kept is not used."""

    def joined(self, k, v):
        super().joined(k, v)
        return k, v


class RotaryCache(Projected):
    """Rotates queries and keys by angles that it keeps, and returns its keys and values."""

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        width = dim // n_heads
        self.register_buffer("freqs", 10000.0 ** (-torch.arange(0, width, 2).double() / width))
        self.angles = {}

    def forward(self, x, past=None):
        q, k, v = self.projected(x)
        offset = 0 if past is None else past[0].shape[2]
        q, k = self.rotated(q, offset), self.rotated(k, offset)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        return self.attended(q, k, v), (k, v)

    def rotated(self, x, offset):
        key = self.key(x.shape[2], offset)
        if key not in self.angles:
            self.angles[key] = torch.outer(torch.arange(x.shape[2]) + offset, self.freqs).repeat_interleave(2, -1)
        angles = self.angles[key].to(x.dtype)
        turned = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
        return x * angles.cos() + turned * angles.sin()

    def key(self, count, offset):
        return count, offset


class RotaryCacheStale(RotaryCache):
    """The angles of a later token are those of the first that came alone."""

    def key(self, count, offset):
        return count


class RotaryCacheFromFirst(RotaryCache):
    """Each call rotates its tokens as if they were the first."""

    def rotated(self, x, offset):
        return super().rotated(x, 0)


class RotaryCacheQueriesFromFirst(RotaryCache):
    """Rotates queries as if they were the first; keys are right."""

    def rotated(self, x, offset):
        self.turns = not getattr(self, "turns", False)  # queries come before keys
        return super().rotated(x, 0 if self.turns else offset)


class Shelf(nn.Module):
    """Keeps what it is given in a dictionary that it shares."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def forward(self, k, v):
        self.kept[k.shape[2]] = k, v


class SharedCache(Projected):
    """Keys and values of other calls are on a shelf, and its weights in a list too."""

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        self.kept = {}
        self.shelf = Shelf(self.kept)
        self.weights = [self.wq.weight, self.wk.weight, self.wv.weight]

    def projected(self, x):
        return [(x @ w.T).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for w in self.weights]

    def forward(self, x, start_pos: int = 0):
        q, k, v = self.projected(x)
        if start_pos:
            k, v = (torch.cat(pair, 2) for pair in zip(self.kept[start_pos], (k, v), strict=True))
        self.shelf(k, v)
        return self.attended(q, k, v)


class OwnCacheFrozen(OwnCache):
    """Its place in the buffers is the one of the first token that came alone."""

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        self.kept = {}

    def places(self, start_pos, count):
        return self.kept.setdefault(count, super().places(start_pos, count))


class DictCacheStale(DictCache):
    """The values of a later token are those of the first that came alone."""

    def __init__(self, dim, n_heads):
        super().__init__(dim, n_heads)
        self.kept = {}

    def projected(self, x):
        q, k, v = super().projected(x)
        return q, k, v if x.shape[1] > 1 else self.kept.setdefault(1, v)


class RoomCache(Projected):
    """A cache (B, 2, M, H, d) with room for all tokens, which is returned."""

    def forward(self, x, cache=None, cache_index=None):
        q, k, v = self.projected(x)
        if cache is None:
            return self.attended(q, k, v)
        last = cache_index + x.shape[1]
        kept = torch.stack([k, v], 1).transpose(2, 3)
        cache = torch.cat([cache[:, :, : self.first(cache_index)], kept, cache[:, :, last:]], 2)
        k, v = cache[:, :, :last].transpose(2, 3).unbind(1)
        return self.attended(q, k, v), cache

    def first(self, cache_index):
        return cache_index


class RoomCacheMoved(RoomCache):
    """New tokens go to the end of the room, after zeros."""

    def first(self, cache_index):
        return max(cache_index - 1, 0)


class UnsplitPair(Projected):
    """Keys and values of the tokens before, (batch, tokens, width), are joined before there are heads."""

    def forward(self, x, k_cache=None, v_cache=None):
        q, k, v = self.wq(x), self.wk(x), self.wv(x)
        if k_cache is not None:
            k, v = torch.cat([k_cache, k], 1), torch.cat([v_cache, v], 1)
        q, k, v = (a.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for a in (q, k, v))
        return self.attended(q, k, v, self.moved(q, k))

    def moved(self, q, k):
        return 0


class UnsplitPairUnaligned(UnsplitPair):
    def moved(self, q, k):
        return k.shape[2] - q.shape[2]
