"""The attention of a torch encoder, captured under its own kernels and verified."""

import torch

import headwise as hw

torch.manual_seed(0)
layer = torch.nn.TransformerEncoderLayer(d_model=32, nhead=4, batch_first=True)
model = torch.nn.TransformerEncoder(layer, num_layers=3).eval()
capture = hw.capture(model, torch.randn(1, 7, 32))
for layer in capture.layers:
    print(f"{layer.name}: {layer.kind}-attention, weights {layer.weights().shape}, verified: {layer.proven}")
