"""Attention that is right on ordinary calls, and wrong in other circumstances."""

import torch

from layers.habits_layers import Base


class Usual(Base):
    """Nothing wrong; dropout in training alone, and attention weights if they are asked for."""

    def __init__(self, dim=12, heads=3):
        super().__init__(dim, heads)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x, mask=None, need_weights=False):
        output, weights = self.attend(x, x, mask)
        return (self.drop(output), weights) if need_weights else self.drop(output)


class WrongScaleInTraining(Base):
    """Half of the logits in training."""

    def logits(self, q, k):
        return super().logits(q, k) * (0.5 if self.training else 1.0)

    def forward(self, x):
        return self.attend(x, x)[0]


class MaskWithWeightsOnly(Base):
    """Uses its mask where the attention weights are asked for."""

    def forward(self, x, mask=None, need_weights=True):
        output, weights = self.attend(x, x, mask if need_weights else None)
        return output, (weights if need_weights else None)


class MostlyCausal(Base):
    """Its causal mask covers eight tokens."""

    def forward(self, x):
        keep = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        keep[:8, :8] = keep[:8, :8].tril()
        return self.attend(x, x, keep)[0]


class LargestEight(Base):
    """Keeps the eight largest logits of each query."""

    def logits(self, q, k):
        s = super().logits(q, k)
        least = s.topk(min(8, s.shape[-1]), -1).values[..., -1:]
        return s.masked_fill(s < least, -torch.inf)

    def forward(self, x):
        return self.attend(x, x)[0]


class WideWindow(Base):
    """Sees twenty tokens to each side."""

    def forward(self, x):
        places = torch.arange(x.shape[1])
        return self.attend(x, x, (places[:, None] - places).abs() <= 20)[0]


class NumbersOnly(Base):
    """Adds a mask of numbers, and does nothing with one of True and False."""

    def forward(self, x, attn_mask=None):
        self.added = 0.0 if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask
        return self.attend(x, x)[0]

    def logits(self, q, k):
        return super().logits(q, k) + self.added


class CausalAtFirst(Base):
    """Causal where there are no earlier tokens."""

    def forward(self, x, past=None, use_cache=False):
        q, k, v = (self.split(w(x)) for w in (self.to_q, self.to_k, self.to_v))
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        s = self.logits(q, k)
        if past is None:
            s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
        return self.to_out((s.softmax(-1) @ v).transpose(1, 2).flatten(2)), (k, v)


class UnusedParts(Base):
    """It makes a norm and a scale that it does not use, and a norm that it uses."""

    def __init__(self, dim=12, heads=3):
        super().__init__(dim, heads)
        self.norm, self.norm_of_queries = torch.nn.LayerNorm(dim), torch.nn.LayerNorm(dim)
        self.logit_scale = torch.nn.Parameter(torch.zeros(heads))

    def forward(self, x):
        self.norm_of_queries(x)
        return self.attend(self.norm(x), self.norm(x))[0]
