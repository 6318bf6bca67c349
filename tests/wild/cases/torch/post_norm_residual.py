"""Attention with its residual connection and a layer norm after it, in one class; and with what goes wrong inside.

Source: https://github.com/jadore801120/attention-is-all-you-need-pytorch
"""

from torch import nn

EXPECT = {
    "NormAfter": {},
    "NormAfterUnscaled": {"mistakes": ["scale-missing"], "variant": True},
    "NormAfterOverQueries": {"mistakes": ["softmax-axis"], "variant": True},
    "NormBeforeUnmoved": {"mistakes": ["heads-merged-unmoved"], "variant": True},
}


class NormAfter(nn.Module):
    """Layer norm of attention plus input."""

    axis = -1

    def __init__(self, n_head, d_model, d_k, d_v, dropout=0.1):
        super().__init__()
        self.n_head, self.d_k, self.d_v = n_head, d_k, d_v
        self.w_qs, self.w_ks = (nn.Linear(d_model, n_head * d_k, bias=False) for _ in range(2))
        self.w_vs, self.fc = nn.Linear(d_model, n_head * d_v, bias=False), nn.Linear(n_head * d_v, d_model, bias=False)
        self.temperature = self.root(d_k)
        self.dropout, self.layer_norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-6)

    def root(self, width):
        return width**0.5

    def heads(self, a, width):
        return a.view(a.shape[0], -1, self.n_head, width).transpose(1, 2)

    def attended(self, q, k, v, mask):
        scores = (self.heads(self.w_qs(q), self.d_k) / self.temperature) @ self.heads(self.w_ks(k), self.d_k).mT
        if mask is not None:
            scores = scores.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        return self.dropout(scores.softmax(dim=self.axis)) @ self.heads(self.w_vs(v), self.d_v)

    def forward(self, q, k, v, mask=None):
        mixed = self.attended(q, k, v, mask).transpose(1, 2).reshape(q.shape[0], q.shape[1], -1)
        return self.layer_norm(self.dropout(self.fc(mixed)) + q)


class NormAfterUnscaled(NormAfter):
    """No temperature."""

    def root(self, width):
        return 1.0


class NormAfterOverQueries(NormAfter):
    """Columns sum to one."""

    axis = -2


class NormBeforeUnmoved(NormAfter):
    """Layer norm first; heads merged as they are."""

    def forward(self, q, mask=None):
        normed = self.layer_norm(q)
        mixed = self.attended(normed, normed, normed, mask).reshape(q.shape[0], q.shape[1], -1)
        return self.fc(mixed)
