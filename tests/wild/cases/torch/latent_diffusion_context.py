"""Cross-attention of an image to a text, which attends to itself without one; and with values that ignore the text.

Source: https://github.com/CompVis/latent-diffusion
"""

import torch
from torch import nn

EXPECT = {
    "TextAttention": {},
    "TextAttentionOwnValues": {"mistakes": ["context-ignored"], "variant": True},
}


class TextAttention(nn.Module):
    """Heads folded into the batch; mask (batch, keys), True at what counts."""

    def __init__(self, query_dim, context_dim=None, heads=8, dim_head=64):
        super().__init__()
        inner = heads * dim_head
        self.heads, self.scale = heads, dim_head**-0.5
        self.to_q = nn.Linear(query_dim, inner, bias=False)
        self.to_k, self.to_v = (nn.Linear(context_dim or query_dim, inner, bias=False) for _ in range(2))
        self.to_out = nn.Linear(inner, query_dim)

    def fold(self, a):
        batch, length, _ = a.shape
        return a.view(batch, length, self.heads, -1).transpose(1, 2).reshape(batch * self.heads, length, -1)

    def values(self, x, context):
        return self.to_v(context)

    def forward(self, x, context=None, mask=None):
        context = x if context is None else context
        q, k, v = self.fold(self.to_q(x)), self.fold(self.to_k(context)), self.fold(self.values(x, context))
        scores = torch.bmm(q, k.mT) * self.scale
        if mask is not None:
            scores = scores.masked_fill(~mask.repeat_interleave(self.heads, 0)[:, None], -torch.finfo(x.dtype).max)
        mixed = torch.bmm(scores.softmax(-1), v).view(len(x), self.heads, x.shape[1], -1)
        return self.to_out(mixed.transpose(1, 2).reshape(len(x), x.shape[1], -1))


class TextAttentionOwnValues(TextAttention):
    """The image's values under the text's weights."""

    def values(self, x, context):
        return self.to_v(x)
