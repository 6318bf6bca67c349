"""A mask of the source (batch, 1, 1, source length), True for tokens; rows of padding are computed too. Right.

Source: bentrevett/pytorch-seq2seq#118
"""

import torch
from torch import nn

EXPECT = {"MultiHeadAttentionLayer": {}}


class MultiHeadAttentionLayer(nn.Module):
    def __init__(self, hid_dim=24, n_heads=3, dropout=0.1):
        super().__init__()
        self.hid_dim, self.n_heads, self.head_dim = hid_dim, n_heads, hid_dim // n_heads
        self.fc_q, self.fc_k, self.fc_v = (nn.Linear(hid_dim, hid_dim) for _ in range(3))
        self.fc_o = nn.Linear(hid_dim, hid_dim)
        self.dropout = nn.Dropout(dropout)
        self.scale = self.head_dim**0.5

    def forward(self, query, key, value, mask=None):
        """mask = [batch size, 1, 1, src len], True where there is a token."""
        batch_size = query.shape[0]
        Q = self.fc_q(query).view(batch_size, -1, self.n_heads, self.head_dim).permute(0, 2, 1, 3)
        K = self.fc_k(key).view(batch_size, -1, self.n_heads, self.head_dim).permute(0, 2, 1, 3)
        V = self.fc_v(value).view(batch_size, -1, self.n_heads, self.head_dim).permute(0, 2, 1, 3)
        energy = torch.matmul(Q, K.permute(0, 1, 3, 2)) / self.scale
        if mask is not None:
            energy = energy.masked_fill(mask == 0, -1e10)
        x = torch.matmul(self.dropout(torch.softmax(energy, dim=-1)), V)
        return self.fc_o(x.permute(0, 2, 1, 3).contiguous().view(batch_size, -1, self.hid_dim))
