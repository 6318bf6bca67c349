"""A layer that others inherit from."""

from torch import nn


class TokensFirst(nn.Module):
    """Attention of tokens of shape (seq_len, batch_size, dim)."""

    scale = True

    def __init__(self, dim=24, heads=3):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        seq_len, batch_size, _ = x.shape
        q, k, v = (
            layer(x).reshape(seq_len, batch_size, self.heads, -1) for layer in (self.query, self.key, self.value)
        )
        logits = (q[:, None] * k).sum(-1) * (q.shape[-1] ** -0.5 if self.scale else 1.0)
        out = (logits.softmax(1)[..., None] * v).sum(1)
        return self.output(out.reshape(seq_len, batch_size, -1))
