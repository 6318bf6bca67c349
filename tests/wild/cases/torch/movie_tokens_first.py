"""nn.MultiheadAttention expects tokens first by default and gets the batch first.

Source: kyegomez/movie-gen#8
"""

from torch import nn

EXPECT = {"TemporalAttention": {"mistakes": ["batch-mixed"]}, "TemporalAttentionBatchFirst": {}}


class TemporalAttention(nn.Module):
    """x: (batch, frames, features)."""

    def __init__(self, dim=24, num_heads=4, batch_first=False):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=batch_first)

    def forward(self, x):
        """x: (batch, frames, features)."""
        output, _ = self.attention(x, x, x)
        return output


class TemporalAttentionBatchFirst(TemporalAttention):
    def __init__(self, dim=24, num_heads=4):
        super().__init__(dim, num_heads, batch_first=True)
