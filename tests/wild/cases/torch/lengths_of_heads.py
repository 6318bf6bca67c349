"""Valid lengths repeated for the heads that are folded into the batch: right item by item, wrong head by head.

Source: https://d2l.ai/chapter_attention-mechanisms-and-transformers/multihead-attention.html
"""

import torch
from torch import nn

EXPECT = {
    "FoldedHeads": {},
    "FoldedHeadsTiled": {"mistakes": ["mask-of-another-item"], "variant": True},
}


class FoldedHeads(nn.Module):
    """valid_lens (batch,): how many keys of an item count."""

    def __init__(self, num_hiddens, num_heads, bias=False):
        super().__init__()
        self.num_heads = num_heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(num_hiddens, num_hiddens, bias=bias) for _ in range(4))

    def fold(self, a):
        batch, length, _ = a.shape
        return (
            a.reshape(batch, length, self.num_heads, -1).permute(0, 2, 1, 3).reshape(batch * self.num_heads, length, -1)
        )

    def repeated(self, lengths):
        return torch.repeat_interleave(lengths, self.num_heads)

    def forward(self, queries, keys, values, valid_lens):
        q, k, v = self.fold(self.W_q(queries)), self.fold(self.W_k(keys)), self.fold(self.W_v(values))
        scores = torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5
        if valid_lens is not None:
            past_the_end = torch.arange(k.shape[1]) >= self.repeated(valid_lens)[:, None]
            scores = scores.masked_fill(past_the_end[:, None], -1e6)
        mixed = torch.bmm(scores.softmax(-1), v)
        mixed = mixed.reshape(-1, self.num_heads, *mixed.shape[1:]).permute(0, 2, 1, 3)
        return self.W_o(mixed.reshape(*queries.shape[:2], -1))


class FoldedHeadsTiled(FoldedHeads):
    """All lengths, once for each head."""

    def repeated(self, lengths):
        return lengths.repeat(self.num_heads)
