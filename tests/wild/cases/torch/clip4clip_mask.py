"""repeat where repeat_interleave is meant: nn.MultiheadAttention numbers its masks item by item.

Source: ArrowLuo/CLIP4Clip#22
"""

from torch import nn

EXPECT = {"CrossBlock": {"mistakes": ["mask-of-another-item"]}, "CrossBlockInterleaved": {}}


class CrossBlock(nn.Module):
    def __init__(self, d_model=24, n_head=4):
        super().__init__()
        self.attn = nn.MultiheadAttention(d_model, n_head, batch_first=True)
        self.n_head = n_head

    def heads(self, attn_mask):
        return attn_mask.repeat(self.n_head, 1, 1)

    def forward(self, x, attn_mask):
        """x (batch, tokens, features); attn_mask (batch, queries, keys): True where a query may not look."""
        return self.attn(x, x, x, need_weights=False, attn_mask=self.heads(attn_mask))[0]


class CrossBlockInterleaved(CrossBlock):
    def heads(self, attn_mask):
        return attn_mask.repeat_interleave(self.n_head, dim=0)
