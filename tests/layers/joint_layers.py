"""Attention layers of torch whose keys come from elsewhere: features of pairs, smaller images, other streams."""

import torch
from torch import nn

from layers.public_layers import Separate


class EdgeBias(Separate):
    """Features of edges give each head a bias."""

    order = (0, 3, 1, 2)

    def __init__(self, dim, num_heads, edge_dim=7):
        super().__init__(dim, num_heads)
        self.edge_bias = nn.Linear(edge_dim, num_heads)

    def features(self, edges):
        return self.edge_bias(edges)

    def forward(self, nodes, edges):
        q, k, v = self.projected(nodes)
        logits = q @ k.transpose(-1, -2) / self.head_dim**0.5 + self.features(edges).permute(*self.order)
        return self.merged(logits.softmax(-1) @ v)


class EdgeBiasTransposed(EdgeBias):
    order = (0, 3, 2, 1)


class PairBias(EdgeBias):
    """The features are normalised first."""

    def __init__(self, c_s=24, c_z=9, no_heads=4):
        super().__init__(c_s, no_heads, c_z)
        self.layer_norm_z = nn.LayerNorm(c_z)

    def features(self, edges):
        return self.edge_bias(self.layer_norm_z(edges))

    def forward(self, s, z):
        return super().forward(s, z)


class PairBiasTransposed(PairBias):
    order = (0, 3, 2, 1)


class SmallerImage(Separate):
    """Keys and values of every other pixel of every other row, normalised."""

    def __init__(self, dim, num_heads, sr_ratio=2):
        super().__init__(dim, num_heads)
        self.sr = nn.Conv2d(dim, dim, sr_ratio, sr_ratio)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x, height, width):
        image = x.transpose(1, 2).unflatten(2, (height, width))
        smaller = self.norm(self.sr(image).flatten(2).transpose(1, 2))
        k, v = self.split(self.k_proj(smaller)), self.split(self.v_proj(smaller))
        return self.merged(self.weights(self.split(self.q_proj(x)), k) @ v)


class SmallerImageUnscaled(SmallerImage):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class SmallerImageUnmoved(SmallerImage):
    def merged(self, x):
        return self.out_proj(x.reshape(x.shape[0], x.shape[2], -1))


class TimeFirst(Separate):
    """Tokens before the batch, rotary positions, and weights of all heads of all items in one axis."""

    def forward(self, x):
        tgt_len, bsz, dim = x.shape
        q, k, v = (
            f(x).view(tgt_len, bsz * self.num_heads, self.head_dim).transpose(0, 1)
            for f in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = self.weights(self.rotate(q), self.rotate(k))
        return self.out_proj((weights @ v).transpose(0, 1).reshape(tgt_len, bsz, dim)), weights

    def rotate(self, x):
        angles = torch.arange(x.shape[1])[:, None] * 1e4 ** (-torch.arange(0, self.head_dim, 2) / self.head_dim)
        cos, sin = torch.cat([angles, angles], 1).cos(), torch.cat([angles, angles], 1).sin()
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat([-b, a], -1) * sin


class TimeFirstUnscaled(TimeFirst):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class Unmasked(Separate):
    """A flag says that the mask is not used, and the logits have neither a factor nor a shift."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.mask_flag = False

    def forward(self, queries, keys, values, attn_mask, tau=None, delta=None):
        q, k, v = self.split(self.q_proj(queries)), self.split(self.k_proj(keys)), self.split(self.v_proj(values))
        return self.merged(self.weights(q, k) @ v)


class Joint(Separate):
    """Image and text have projections of their own and attend to both."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.add_q_proj, self.add_k_proj, self.add_v_proj, self.to_add_out = (
            nn.Linear(dim, dim, bias=False) for _ in range(4)
        )

    def keys(self, text):
        return self.add_k_proj(text)

    def order(self, image, text):
        return self.split(torch.cat([image, text], 1))

    def forward(self, image, text):
        q = self.order(self.q_proj(image), self.add_q_proj(text))
        k = self.order(self.k_proj(image), self.keys(text))
        v = self.order(self.v_proj(image), self.add_v_proj(text))
        out = (self.weights(q, k) @ v).transpose(1, 2).flatten(2)
        return self.outputs(out, image.shape[1])

    def outputs(self, out, count):
        return self.out_proj(out[:, :count]), self.to_add_out(out[:, count:])


class JointTextFirst(Joint):
    """With rotary positions of the text and then of the image."""

    rotate = TimeFirst.rotate

    def order(self, image, text):
        return self.split(torch.cat([text, image], 1))

    def weights(self, q, k):
        q, k = (self.rotate(a.flatten(0, 1)).unflatten(0, a.shape[:2]) for a in (q, k))
        return super().weights(q, k)

    def outputs(self, out, count):
        return self.out_proj(out[:, -count:]), self.to_add_out(out[:, :-count])


class JointUnscaled(Joint):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class JointSharesKeys(Joint):
    def keys(self, text):
        return self.k_proj(text)


class TwoContexts(Separate):
    """The attention to an image is added to that to a text."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.to_k_ip, self.to_v_ip = (nn.Linear(dim, dim, bias=False) for _ in range(2))

    def keys(self, image):
        return self.to_k_ip(image)

    def attended(self, q, contexts):
        return sum(self.weights(q, self.split(k)) @ self.split(v) for k, v in contexts)

    def forward(self, x, text, image):
        contexts = (self.k_proj(text), self.v_proj(text)), (self.keys(image), self.to_v_ip(image))
        return self.merged(self.attended(self.split(self.q_proj(x)), contexts))


class TwoContextsUnscaled(TwoContexts):
    def weights(self, q, k):
        return (q @ k.transpose(-1, -2)).softmax(-1)


class TwoContextsShareKeys(TwoContexts):
    def keys(self, image):
        return self.k_proj(image)


class TwoContextsOneSoftmax(TwoContexts):
    def attended(self, q, contexts):
        k, v = (torch.cat(parts, 1) for parts in zip(*contexts, strict=True))
        return self.weights(q, self.split(k)) @ self.split(v)


class FusedStreams(nn.Module):
    """Both streams under names of their own, in a mask-free double block."""

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.img_qkv, self.txt_qkv = nn.Linear(dim, 3 * dim), nn.Linear(dim, 3 * dim)
        self.img_proj, self.txt_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, img, txt):
        parts = (f(x).unflatten(-1, (3, self.num_heads, -1)) for f, x in ((self.txt_qkv, txt), (self.img_qkv, img)))
        q, k, v = torch.cat(list(parts), 1).permute(2, 0, 3, 1, 4)
        out = ((q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.img_proj(out[:, txt.shape[1] :]), self.txt_proj(out[:, : txt.shape[1]])


class Adjacency(Separate):
    """A node attends to its neighbours."""

    def forward(self, x, adj):
        q, k, v = self.projected(x)
        logits = q @ k.transpose(-1, -2) / self.head_dim**0.5
        return self.merged(logits.masked_fill(adj.unsqueeze(1) == 0, -torch.inf).softmax(-1) @ v)


class TwoMasks(Separate):
    """The mask of times is not used."""

    def forward(self, x, time_mask=None, attn_mask=None):
        q, k, v = self.projected(x)
        logits = q @ k.transpose(-1, -2) / self.head_dim**0.5
        if attn_mask is not None:
            logits = logits.masked_fill(attn_mask, -torch.inf)
        return self.merged(logits.softmax(-1) @ v)


class OwnKeysForText(Separate):
    """Tokens attend to themselves and to a text, whose keys and values have projections of their own."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.k_text, self.v_text = (nn.Linear(dim, dim, bias=False) for _ in range(2))

    def keys(self, text):
        return self.k_text(text)

    def forward(self, x, text):
        k = self.split(torch.cat([self.k_proj(x), self.keys(text)], 1))
        v = self.split(torch.cat([self.v_proj(x), self.v_text(text)], 1))
        return self.merged(self.weights(self.split(self.q_proj(x)), k) @ v)


class SharedKeysForText(OwnKeysForText):
    def keys(self, text):
        return self.k_proj(text)


class NormedByDefault(Separate):
    """Norms of queries and keys that add as little as torch does by default."""

    def __init__(self, dim, num_heads):
        super().__init__(dim, num_heads)
        self.q_norm, self.k_norm = nn.RMSNorm(self.head_dim), nn.RMSNorm(self.head_dim)

    def forward(self, x):
        q, k, v = self.projected(x)
        return self.merged(self.weights(self.q_norm(q), self.k_norm(k)) @ v)
