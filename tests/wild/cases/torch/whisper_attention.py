"""Fourth roots of the scale on both sides, no bias for the keys, an additive mask, cross-attention by xa. Right.

Source: https://github.com/openai/whisper/blob/main/whisper/model.py
"""

from torch import nn

EXPECT = {"MultiHeadAttention": {}}


class MultiHeadAttention(nn.Module):
    def __init__(self, n_state: int = 24, n_head: int = 4):
        super().__init__()
        self.n_head = n_head
        self.query = nn.Linear(n_state, n_state)
        self.key = nn.Linear(n_state, n_state, bias=False)
        self.value = nn.Linear(n_state, n_state)
        self.out = nn.Linear(n_state, n_state)

    def forward(self, x, xa=None, mask=None):
        """mask: (n_ctx, n_ctx), −inf above the diagonal and 0 elsewhere, added to the logits."""
        q = self.query(x)
        k, v = (layer(x if xa is None else xa) for layer in (self.key, self.value))
        n_batch, n_ctx, n_state = q.shape
        scale = (n_state // self.n_head) ** -0.25
        q = q.view(*q.shape[:2], self.n_head, -1).permute(0, 2, 1, 3) * scale
        k = k.view(*k.shape[:2], self.n_head, -1).permute(0, 2, 3, 1) * scale
        v = v.view(*v.shape[:2], self.n_head, -1).permute(0, 2, 1, 3)
        qk = q @ k
        if mask is not None:
            qk = qk + mask[:n_ctx, :n_ctx]
        w = nn.functional.softmax(qk, dim=-1).to(q.dtype)
        return self.out((w @ v).permute(0, 2, 1, 3).flatten(start_dim=2))
