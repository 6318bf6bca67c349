"""Layers whose flags, masks and widths are given in ways that are less usual."""

import torch
from torch import nn


class Separate(nn.Module):
    """Keys and values of their own, unless a flag says otherwise, as in fairseq; `head_dim` is optional."""

    def __init__(self, embed_dim=12, num_heads=3, head_dim=None, self_attention=False, encoder_decoder_attention=False):
        super().__init__()
        self.num_heads = num_heads
        self.self_attention = self_attention
        self.encoder_decoder_attention = encoder_decoder_attention
        inner = num_heads * (head_dim or embed_dim // num_heads)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(embed_dim, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, embed_dim)
        self.scale = self.factor(embed_dim, inner)

    def factor(self, embed_dim, inner):
        return (inner // self.num_heads) ** -0.5

    def forward(self, query, key, value):
        key = query if self.self_attention else key
        value = query if self.self_attention else key if self.encoder_decoder_attention else value
        q, k, v = (
            p(x).unflatten(-1, (self.num_heads, -1)).transpose(-2, -3)
            for p, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        p = (q @ k.transpose(-1, -2) * self.scale).softmax(-1)
        return self.out_proj((p @ v).transpose(-2, -3).flatten(-2))


class SeparateOfModelWidth(Separate):
    """Its scale is right as long as `head_dim` is not given."""

    def factor(self, embed_dim, inner):
        return (embed_dim // self.num_heads) ** -0.5


class MaskOfContextFirst(nn.Module):
    """The mask of its tokens counts only where there is neither a context nor a mask of one, as in x-transformers."""

    def __init__(self, dim=12, heads=3):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(dim, dim, bias=False) for _ in range(4))

    def forward(self, x, context=None, mask=None, context_mask=None):
        source = x if context is None else context
        keep = self.chosen(mask if context is None else None, context_mask)
        q, k, v = (
            p(a).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for p, a in ((self.to_q, x), (self.to_k, source), (self.to_v, source))
        )
        s = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        s = s if keep is None else s.masked_fill(~keep[:, None, None], -torch.finfo(s.dtype).max)
        return self.to_out((s.softmax(-1) @ v).transpose(-2, -3).flatten(-2))

    def chosen(self, mask, context_mask):
        return mask if context_mask is None else context_mask


class MaskOfContextForgotten(MaskOfContextFirst):
    def chosen(self, mask, context_mask):
        return mask


class WithinWindow(nn.Module):
    """Sliding window attention: a token attends to itself and the window_size - 1 tokens before it."""

    def __init__(self, dim=12, heads=3, window_size=4):
        super().__init__()
        self.heads, self.window_size = heads, window_size
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for a in self.qkv(x).chunk(3, -1))
        n = torch.arange(x.shape[1])
        s = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        s = s.masked_fill(~((n <= n[:, None]) & self.near(n[:, None], n)), -torch.inf)
        return self.out((s.softmax(-1) @ v).transpose(-2, -3).flatten(-2))

    def near(self, i, j):
        return i - j < self.window_size


class WithinBlocks(WithinWindow):
    """Sliding window attention: a token attends to itself and the window_size - 1 tokens before it."""

    def __init__(self, dim=12, heads=3, window_size=4):
        super().__init__(dim, heads)
        del self.window_size
        self.h, self.w = heads, window_size

    def near(self, i, j):
        return i // self.w == j // self.w


class FusedWithDropout(nn.Module):
    """Two ways to compute the same; in evaluation mode too, one of them drops weights."""

    def __init__(self, dim=12, num_heads=3, dropout_rate=0.0, use_flash_attention=False):
        super().__init__()
        self.num_heads, self.dropout_rate, self.use_flash_attention = num_heads, dropout_rate, use_flash_attention
        self.qkv, self.out, self.dropout = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), nn.Dropout(dropout_rate)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.use_flash_attention:
            o = nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout_rate)
        else:
            o = self.dropout((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)) @ v
        return self.out(o.transpose(1, 2).flatten(2))


class KeysPassed(nn.Module):
    """A flag says that it has no context, and it is called with keys and values all the same, as in ESPnet."""

    def __init__(self, n_head, n_feat, dropout_rate=0.0, cross_attn=False):
        super().__init__()
        self.h, self.cross_attn, self.dropout = n_head, cross_attn, nn.Dropout(dropout_rate)
        self.linear_q, self.linear_k, self.linear_v = (nn.Linear(n_feat, n_feat) for _ in range(3))
        self.linear_out = nn.Linear(n_feat, n_feat)

    def forward(self, query, key, value, mask):
        inputs = ((self.linear_q, query), (self.linear_k, key), (self.linear_v, value))
        q, k, v = (linear(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for linear, x in inputs)
        s = q @ k.mT / q.shape[-1] ** 0.5
        s = s if mask is None else s.masked_fill(mask.unsqueeze(1).eq(0), -torch.inf)
        return self.linear_out((self.dropout(s.softmax(-1)) @ v).transpose(1, 2).flatten(2))


class MaskOfQueriesAndOfKeys(nn.Module):
    """The mask of the queries hides no key."""

    def forward(self, queries, keys, values, q_mask=None, kv_mask=None):
        s = torch.einsum("nlhd,nshd->nlsh", queries, keys) / queries.shape[3] ** 0.5
        if kv_mask is not None:
            s = s.masked_fill(~kv_mask[:, None, :, None], -torch.inf)
        return torch.einsum("nlsh,nshd->nlhd", s.softmax(2), values)


class RotationOff(nn.Module):
    """Its rotation returns queries and keys as they are; tokens are (T x B x C)."""

    def __init__(self, dim=12, num_heads=3, use_rope=False):
        super().__init__()
        self.num_heads, self.use_rope = num_heads, use_rope
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def apply_rope(self, q, k):
        if not self.use_rope:
            return q, k
        raise NotImplementedError

    def forward(self, x):
        q, k, v = self.qkv(x.transpose(0, 1)).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.apply_rope(q, k)
        o = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(o.transpose(1, 2).flatten(2)).transpose(0, 1)
