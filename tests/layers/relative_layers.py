"""Layers of torch with learned tables of distances, and with a mistake put in."""

import torch
from torch import nn


class Window(nn.Module):
    """A bias for each distance in a window of 2 × 3 tokens, zero when it is made (Liu et al., 2021)."""

    def __init__(self, dim=12, window_size=(2, 3), num_heads=3):
        super().__init__()
        self.num_heads, self.stride = num_heads, self.entries_per_row(window_size)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        h, w = window_size
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * h - 1) * (2 * w - 1), num_heads))
        places = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).flatten(1)
        rows, columns = places[:, :, None] - places[:, None]
        self.register_buffer("index", (rows + h - 1) * self.stride + columns + w - 1)

    def entries_per_row(self, window_size):
        return 2 * window_size[1] - 1

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT * q.shape[-1] ** -0.5 + self.relative_position_bias_table[self.index].permute(2, 0, 1)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class WindowStride(Window):
    def entries_per_row(self, window_size):
        return window_size[1]


class WindowStrideOfFourHeads(WindowStride):
    """Its table for 12 tokens also fits 24 of one head, as the sizes of a view."""

    def __init__(self, dim=24, window_size=(3, 4), num_heads=4):
        super().__init__(dim, window_size, num_heads)

    def entries_per_row(self, window_size):
        return 2 * window_size[0] - 1

    def forward(self, x):
        n = x.shape[1]
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1)
        return self.proj(((q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v).transpose(1, 2).flatten(2))


class ClippedBias(nn.Module):
    """A bias for each distance up to three."""

    largest = 3

    def __init__(self, dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.rel_bias = nn.Parameter(torch.zeros(num_heads, 7))

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        places = torch.arange(x.shape[1])
        bias = self.rel_bias[:, (places - places[:, None]).clamp(-3, self.largest) + 3]
        return self.proj(((q @ k.mT * q.shape[-1] ** -0.5 + bias).softmax(-1) @ v).transpose(1, 2).flatten(2))


class ClippedBiasByOneMore(ClippedBias):
    largest = 2


class Clipped(nn.Module):
    """Vectors of distances for keys and values (Shaw et al., 2018)."""

    def __init__(self, dim=12, num_heads=3, longest=2):
        super().__init__()
        self.num_heads, self.longest = num_heads, longest
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim) for _ in range(4))
        self.rel_k, self.rel_v = (nn.Parameter(torch.zeros(2 * longest + 1, dim // num_heads)) for _ in range(2))

    def forward(self, x):
        q, k, v = (w(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        places = torch.arange(x.shape[1])
        index = self.clipped(places - places[:, None]) + self.longest
        s = q @ k.mT + self.products(q, k, self.rel_k[index])
        p = self.scaled(s, q.shape[-1]).softmax(-1)
        o = p @ v + torch.einsum("bhij,ijd->bhid", p, self.of_values(index))
        return self.wo(o.transpose(1, 2).flatten(2))

    def clipped(self, distances):
        return distances.clamp(-self.longest, self.longest)

    def products(self, q, k, vectors):
        return torch.einsum("bhid,ijd->bhij", q, vectors)

    def of_values(self, index):
        return self.rel_v[index]

    def scaled(self, s, width):
        return s / width**0.5


class ClippedUnscaled(Clipped):
    def scaled(self, s, width):
        return s


class ClippedValuesUnused(Clipped):
    def of_values(self, index):
        return 0 * self.rel_v[index]


class ClippedOfKeys(Clipped):
    def products(self, q, k, vectors):
        return torch.einsum("bhjd,ijd->bhij", k, vectors)


class ClippedOfOtherQueries(Clipped):
    def products(self, q, k, vectors):
        return torch.einsum("bhjd,ijd->bhij", q, vectors)


class ClippedFolded(Clipped):
    def clipped(self, distances):
        return super().clipped(distances).abs()


class ClippedByPlace(Clipped):
    def products(self, q, k, vectors):
        return torch.einsum("bhid,jd->bhij", q, vectors[0])


class Skewed(nn.Module):
    """Vectors of earlier distances alone, shifted into place (Huang et al., 2019)."""

    def __init__(self, dim=12, num_heads=3, max_len=64):
        super().__init__()
        self.num_heads, self.max_len = num_heads, max_len
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.Er = nn.Parameter(torch.zeros(max_len, dim // num_heads))

    def forward(self, x):
        n = x.shape[1]
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        products = nn.functional.pad(q @ self.Er[self.max_len - n :].T, (1, 0))
        s = q @ k.mT + products.view(*products.shape[:2], n + 1, n)[:, :, 1:]
        s = s.masked_fill(torch.ones(n, n).triu(1) > 0, -torch.inf) / q.shape[-1] ** 0.5
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Backward(Skewed):
    """The vector of the query's own place is the first, and those of keys further before it follow."""

    def forward(self, x):
        n = x.shape[1]
        q, k, v = (a.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for a in self.qkv(x).chunk(3, -1))
        places = torch.arange(n)
        s = q @ k.mT + self.products(q, self.Er[(places[:, None] - places).clamp(min=0)])
        s = s.masked_fill(torch.ones(n, n).triu(1) > 0, -torch.inf) / q.shape[-1] ** 0.5
        return self.out((s.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def products(self, q, vectors):
        return torch.einsum("bhid,ijd->bhij", q, vectors)


class BackwardOfOtherQueries(Backward):
    def products(self, q, vectors):
        return torch.einsum("bhjd,ijd->bhij", q, vectors)


class SkewedBare(nn.Module):
    """Without an output matrix, which the table might be taken for."""

    def __init__(self, dim=12, num_heads=3, max_len=64):
        super().__init__()
        self.num_heads, self.max_len = num_heads, max_len
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.Er = nn.Parameter(torch.randn(max_len, dim // num_heads))

    def forward(self, x):
        n = x.shape[1]
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in self.children())
        places = torch.arange(n)
        index = (places - places[:, None] + self.max_len - 1).clamp(max=self.max_len - 1)
        s = (q @ k.mT + torch.einsum("bhid,ijd->bhij", q, self.Er[index])) / q.shape[-1] ** 0.5
        return (s + torch.full((n, n), -torch.inf).triu(1)).softmax(-1).matmul(v).transpose(1, 2).flatten(2)


class Image(nn.Module):
    """Vectors of distances along both axes of an image (Li et al., 2022), zero when it is made."""

    def __init__(self, dim=12, num_heads=3, size=(2, 3)):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.rel_pos_h, self.rel_pos_w = (nn.Parameter(torch.zeros(2 * n - 1, dim // num_heads)) for n in size)

    def products(self, q, table):
        places = torch.arange((len(table) + 1) // 2)
        return table[places[:, None] - places + len(places) - 1]

    def forward(self, x):
        b, h, w, _ = x.shape
        q, k, v = self.qkv(x).view(b, h * w, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        grid = q.unflatten(2, (h, w))
        rows = torch.einsum("nehwc,hkc->nehwk", grid, self.products(q, self.rel_pos_h))
        columns = self.of_columns(torch.einsum("nehwc,wkc->nehwk", grid, self.products(q, self.rel_pos_w)))
        s = (q @ k.mT * q.shape[-1] ** -0.5).view(b, -1, h, w, h, w) + rows[..., None] + columns[..., None, :]
        return self.proj((s.view(b, -1, h * w, h * w).softmax(-1) @ v).transpose(1, 2).reshape(b, h, w, -1))

    def of_columns(self, products):
        return products


class ImageRowsAlone(Image):
    def of_columns(self, products):
        return 0 * products


class GatedBias(nn.Module):
    """A bias for each bucket of distances, times a gate of the query's token (WavLM; Chen et al., 2022)."""

    def __init__(self, dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.rel_embed = nn.Embedding(9, num_heads)
        self.rel_gate = nn.Linear(dim // num_heads, 1)

    def distance(self, n):
        return torch.arange(n) - torch.arange(n)[:, None]

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.rel_embed(self.distance(x.shape[1]).clamp(-4, 4) + 4).permute(2, 0, 1)
        gate = self.rel_gate(x.unflatten(-1, (self.num_heads, -1))).sigmoid().transpose(1, 2)
        s = q @ k.mT * q.shape[-1] ** -0.5 + gate * bias
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class GatedBiasUnused(GatedBias):
    def distance(self, n):
        return torch.zeros(n, n, dtype=torch.long)


class ProjectedPositions(nn.Module):
    """Sinusoids of the distances, projected; keys after the query have distances of their own (Dai et al., 2019)."""

    def __init__(self, dim=12, num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.linear_pos = nn.Linear(dim, dim, bias=False)
        self.pos_bias_v = nn.Parameter(torch.zeros(num_heads, dim // num_heads))
        self.register_buffer("frequencies", 100.0 ** -(torch.arange(0, dim, 2) / dim))

    def distances(self, n):
        return torch.arange(n - 1, -n, -1)

    def shifted(self, s):
        b, h, n, m = s.shape
        s = torch.cat([s.new_zeros(b, h, n, 1), s], -1).view(b, h, m + 1, n)
        return s[:, :, 1:].reshape(b, h, n, m)[..., :n]

    def forward(self, x):
        n = x.shape[1]
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        angles = self.distances(n)[:, None] * self.frequencies
        p = self.linear_pos(torch.cat([angles.sin(), angles.cos()], -1)).unflatten(-1, (self.num_heads, -1))
        s = q @ k.mT + self.shifted((q + self.pos_bias_v[:, None]) @ p.permute(1, 2, 0))
        return self.proj(((s * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2))


class ProjectedPositionsBeforeOnly(ProjectedPositions):
    """Only the distances of keys before the query: those after it get numbers of the next query."""

    def distances(self, n):
        return torch.arange(n - 1, -1, -1)


class Volume(nn.Module):
    """A bias for each distance in a window of 2 × 3 × 2 tokens."""

    def __init__(self, dim=12, window_size=(2, 3, 2), num_heads=3):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        most = [2 * side - 1 for side in window_size]
        self.relative_position_bias_table = nn.Parameter(torch.zeros(most[0] * most[1] * most[2], num_heads))
        places = torch.stack(torch.meshgrid(*map(torch.arange, window_size), indexing="ij")).flatten(1)
        distances = places[:, :, None] - places[:, None] + torch.tensor(window_size)[:, None, None] - 1
        self.register_buffer("index", (distances * torch.tensor(self.strides(most))[:, None, None]).sum(0))

    def strides(self, most):
        return [most[1] * most[2], most[2], 1]

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT * q.shape[-1] ** -0.5 + self.relative_position_bias_table[self.index].permute(2, 0, 1)
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


class VolumeStride(Volume):
    def strides(self, most):
        return [most[1] + most[2], most[2], 1]
