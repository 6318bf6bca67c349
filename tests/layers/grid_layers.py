"""Layers of torch that attend within windows of a grid of fixed size, shifted or not; and with a mistake put in."""

import torch
from torch import nn


def in_windows(x, side):
    """(B, H, W, C) to (B · windows, side², C)."""
    b, h, w, c = x.shape
    return x.view(b, h // side, side, w // side, side, c).transpose(2, 3).reshape(-1, side * side, c)


class ShiftedWindows(nn.Module):
    """Windows of a rolled grid, and a mask for what the roll brings together (Liu et al., 2021)."""

    masked = True

    def __init__(self, dim=12, resolution=(4, 6), window_size=2, shift_size=1, num_heads=3):
        super().__init__()
        self.resolution, self.side, self.shift, self.num_heads = resolution, window_size, shift_size, num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        regions = torch.zeros(1, *resolution, 1)
        for i, rows in enumerate((slice(0, -self.side), slice(-self.side, -self.shift), slice(-self.shift, None))):
            for j, columns in enumerate(
                (slice(0, -self.side), slice(-self.side, -self.shift), slice(-self.shift, None))
            ):
                regions[:, rows, columns] = 3 * i + j
        regions = in_windows(regions, self.side).squeeze(-1)
        self.register_buffer("attn_mask", torch.where(regions[:, None] == regions[:, :, None], 0.0, -100.0))

    def logits(self, q, k):
        return self.scale * q @ k.mT

    def forward(self, x):
        b, n, c = x.shape
        h, w = self.resolution
        x = torch.roll(x.view(b, h, w, c), (-self.shift, -self.shift), (1, 2))
        windows = in_windows(x, self.side)
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = self.logits(q, k).unflatten(0, (b, -1))
        s = s + self.attn_mask[:, None] if self.masked else s
        o = (s.flatten(0, 1).softmax(-1) @ v).transpose(1, 2).flatten(2)
        o = o.view(b, h // self.side, w // self.side, self.side, self.side, c).transpose(2, 3).reshape(b, h, w, c)
        return self.proj(torch.roll(o, (self.shift, self.shift), (1, 2)).view(b, n, c))


class ShiftedWindowsUnscaled(ShiftedWindows):
    def logits(self, q, k):
        return q @ k.mT


class ShiftedWindowsUnmasked(ShiftedWindows):
    """Windows go around the edges of the grid."""

    masked = False


class DecomposedPositions(nn.Module):
    """Queries times a vector for the distance of the rows, and one for that of the columns (MViTv2, SAM)."""

    def __init__(self, dim=12, num_heads=3, size=9):
        super().__init__()
        self.num_heads, self.size = num_heads, size
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, dim // num_heads))

    def entry(self, query, key):
        return query - key + self.size - 1

    def forward(self, x):
        B, H, W, D = x.shape
        q, k, v = self.qkv(x).reshape(B, H * W, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        rows, columns = torch.arange(H * W) // W, torch.arange(H * W) % W
        logits = q @ k.mT / q.shape[-1] ** 0.5
        for places, table in ((rows, self.rel_pos_h), (columns, self.rel_pos_w)):
            vectors = table[self.entry(places[:, None], places)]
            logits = logits + torch.einsum("bhnd,nmd->bhnm", q, vectors)
        return self.proj((logits.softmax(-1) @ v).transpose(1, 2).reshape(B, H, W, D))


class DecomposedPositionsOfKeys(DecomposedPositions):
    def entry(self, query, key):
        return (0 * query + key) % (2 * self.size - 1)


class RotaryPatches(nn.Module):
    """Rotary positions of the patches of a grid, after a class token that has none."""

    def __init__(self, dim=12, num_heads=3, grid_size=(2, 3)):
        super().__init__()
        self.num_heads = num_heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        sides = (side.reshape(-1, 1) for side in torch.meshgrid(*map(torch.arange, grid_size), indexing="ij"))
        angles = torch.cat([side * 0.3 ** torch.arange(dim // num_heads // 4) for side in sides], -1)
        self.register_buffer("angles", angles.double())

    def turned(self, x):
        a, b = x.chunk(2, -1)
        cos, sin = self.angles.cos(), self.angles.sin()
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q = torch.cat([q[:, :, :1], self.turned(q[:, :, 1:])], 2)
        k = torch.cat([k[:, :, :1], self.turned(k[:, :, 1:])], 2)
        x = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(b, n, d))


class MaskedWindows(nn.Module):
    """A mask has to be passed, and hides the pairs of tokens that use some entries of the table."""

    def __init__(self, dim=12, num_heads=3, window_size=(2, 3)):
        super().__init__()
        self.num_heads, self.window_size = num_heads, window_size
        (h, w), heads = window_size, num_heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * h - 1) * (2 * w - 1), heads))
        places = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).flatten(1)
        rows, columns = places[:, :, None] - places[:, None, :]
        self.register_buffer("index", (rows + h - 1) * (2 * w - 1) + columns + w - 1)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        s = q @ k.mT * q.shape[-1] ** -0.5 + self.relative_position_bias_table[self.index].permute(2, 0, 1)
        s = s if mask is None else s + mask
        return self.proj((s.softmax(-1) @ v).transpose(1, 2).flatten(2))
