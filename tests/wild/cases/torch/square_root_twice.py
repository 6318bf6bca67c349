"""The root of the root on queries and on keys: each carries half of the scale. Right.

Source: huggingface/diffusers#929
"""

import math

import torch
from torch import nn

EXPECT = {"AttentionBlock": {}}


class AttentionBlock(nn.Module):
    def __init__(self, channels: int = 24, num_heads: int = 4):
        super().__init__()
        self.channels, self.num_heads = channels, num_heads
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.proj_attn = nn.Linear(channels, channels)

    def transpose_for_scores(self, projection):
        return projection.view(*projection.size()[:-1], self.num_heads, -1).permute(0, 2, 1, 3)

    def forward(self, hidden_states):
        scale = 1 / math.sqrt(math.sqrt(self.channels / self.num_heads))
        query = self.transpose_for_scores(self.query(hidden_states))
        key = self.transpose_for_scores(self.key(hidden_states))
        value = self.transpose_for_scores(self.value(hidden_states))
        scores = torch.matmul(query * scale, key.transpose(-1, -2) * scale)
        out = torch.matmul(torch.softmax(scores.float(), dim=-1).type(scores.dtype), value)
        return self.proj_attn(out.permute(0, 2, 1, 3).reshape(hidden_states.shape))
