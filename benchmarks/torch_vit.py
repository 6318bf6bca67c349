"""The same vision transformer in torch, from its own layers, with weights copied over: a peer to compare with."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, model, dtype):
        super().__init__()
        self.norm_1 = nn.LayerNorm(model.d_model, dtype=dtype)
        self.qkv = nn.Linear(model.d_model, 3 * model.d_model, dtype=dtype)
        self.output = nn.Linear(model.d_model, model.d_model, dtype=dtype)
        self.norm_2 = nn.LayerNorm(model.d_model, dtype=dtype)
        self.mlp = nn.Sequential(
            nn.Linear(model.d_model, model.d_ff, dtype=dtype),
            nn.GELU(approximate="tanh"),
            nn.Linear(model.d_ff, model.d_model, dtype=dtype),
        )
        self.heads = model.n_heads

    def forward(self, x):
        b, n, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, width)
        x = x + self.output(mixed)
        return x + self.mlp(self.norm_2(x))


class TorchViT(nn.Module):
    """`model` and `params` are Headwise's."""

    def __init__(self, model, params):
        super().__init__()
        cut = model.image_tokenizer
        dtype = torch.from_numpy(next(iter(params.values()))).dtype
        self.model = model
        self.token = nn.Linear(cut.token_dim, model.d_model, dtype=dtype)
        self.class_token = nn.Parameter(torch.zeros(model.d_model, dtype=dtype))
        self.positions = nn.Parameter(torch.zeros(1 + cut.num_tokens, model.d_model, dtype=dtype))
        self.blocks = nn.ModuleList(Block(model, dtype) for _ in range(model.n_layers))
        self.norm = nn.LayerNorm(model.d_model, dtype=dtype)
        self.head = nn.Linear(model.d_model, model.n_classes, dtype=dtype)
        with torch.no_grad():
            for name, array in params.items():
                self._named()[name].copy_(torch.from_numpy(array))

    def forward(self, images):
        (rows, columns), (height, width) = self.model.image_tokenizer.grid, self.model.image_tokenizer.patch_size
        x = (images - self.model.mean) / self.model.std
        x = x.view(-1, rows, height, columns, width).transpose(2, 3).reshape(len(images), -1, height * width)
        x = torch.cat([self.class_token.expand(len(x), 1, -1), self.token(x)], dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))

    def _named(self):
        """Its parameters by Headwise's names."""
        parameters = {
            "embedding.token.weight": self.token.weight,
            "embedding.token.bias": self.token.bias,
            "embedding.class_token": self.class_token,
            "embedding.positions": self.positions,
            "norm.gain": self.norm.weight,
            "norm.bias": self.norm.bias,
            "head.weight": self.head.weight,
            "head.bias": self.head.bias,
        }
        for i, block in enumerate(self.blocks):
            for name, layer in {
                "attention.qkv": block.qkv,
                "attention.output": block.output,
                "mlp.hidden": block.mlp[0],
                "mlp.output": block.mlp[2],
            }.items():
                parameters[f"blocks.{i}.{name}.weight"] = layer.weight
                parameters[f"blocks.{i}.{name}.bias"] = layer.bias
            for name, norm in {"norm_1": block.norm_1, "norm_2": block.norm_2}.items():
                parameters[f"blocks.{i}.{name}.gain"] = norm.weight
                parameters[f"blocks.{i}.{name}.bias"] = norm.bias
        return parameters

    def named(self):
        return {name: parameter.detach().numpy() for name, parameter in self._named().items()}

    def gradients(self):
        return {name: parameter.grad.numpy() for name, parameter in self._named().items()}

    def those(self, *, decays):
        return [p for name, p in self._named().items() if name.endswith("weight") == decays]
