"""Layers that attend from given queries to given keys, as decoders did before there were projections."""

import math

import torch
from torch import nn


class Dot(nn.Module):
    """Luong's dot score, of one step of a decoder."""

    dim = 1

    def forward(self, hidden, encoder_outputs):  # (B, D), (B, M, D)
        scores = torch.bmm(encoder_outputs, hidden.unsqueeze(2)).squeeze(2)
        weights = torch.softmax(scores, dim=self.dim)
        return torch.bmm(weights.unsqueeze(1), encoder_outputs).squeeze(1), weights


class DotOverBatch(Dot):
    dim = 0


class General(nn.Module):
    """Luong's general score."""

    def __init__(self, hidden_size):
        super().__init__()
        self.W = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, decoder_hidden, encoder_outputs):  # (B, N, D), (B, M, D)
        scores = decoder_hidden @ self.W(encoder_outputs).transpose(1, 2)
        return self.weights(scores) @ encoder_outputs

    def weights(self, scores):
        return torch.softmax(scores, dim=-1)


class GeneralOverQueries(General):
    def weights(self, scores):
        return torch.softmax(scores, dim=1)


class GeneralTwice(General):
    def weights(self, scores):
        return torch.softmax(torch.softmax(scores, dim=-1), dim=-1)


class GeneralOfWidths(nn.Module):
    """A state of another width than the outputs of the encoder, and padding, of which True is a token."""

    def __init__(self, dec_dim, enc_dim):
        super().__init__()
        self.attn = nn.Linear(dec_dim, enc_dim, bias=False)

    def forward(self, decoder_state, encoder_outputs, mask=None):  # (B, dec_dim), (B, M, enc_dim), (B, M)
        energy = torch.bmm(self.attn(decoder_state).unsqueeze(1), encoder_outputs.transpose(1, 2)).squeeze(1)
        if mask is not None:
            energy = self.hidden(energy, mask)
        return torch.bmm(torch.softmax(energy, -1).unsqueeze(1), encoder_outputs).squeeze(1)

    def hidden(self, energy, mask):
        return energy.masked_fill(mask == 0, -math.inf)


class GeneralMaskIgnored(GeneralOfWidths):
    def hidden(self, energy, mask):
        return energy


class Scaled(nn.Module):
    """Luong's general score, over the root of the width."""

    def __init__(self, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.Wa = nn.Parameter(torch.randn(hidden_size, hidden_size))

    def forward(self, decoder_hidden, encoder_outputs):
        scores = decoder_hidden @ self.Wa @ encoder_outputs.transpose(1, 2) / math.sqrt(self.hidden_size)
        return torch.softmax(scores, dim=-1) @ encoder_outputs


class Additive(nn.Module):
    """Bahdanau's score, of a query (B, 1, D)."""

    def __init__(self, hidden_size):
        super().__init__()
        self.Wa, self.Ua = nn.Linear(hidden_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(self.inner(self.Wa(query) + self.Ua(keys)))
        return torch.bmm(torch.softmax(scores.squeeze(2).unsqueeze(1), dim=-1), keys)

    def inner(self, sums):
        return torch.tanh(sums)


class AdditiveLinear(Additive):
    def inner(self, sums):
        return sums


class AdditiveOfNames(nn.Module):
    """Additive attention whose layers are named as projections are."""

    def __init__(self, key_size, query_size, num_hiddens):
        super().__init__()
        self.W_k = nn.Linear(key_size, num_hiddens, bias=False)
        self.W_q = nn.Linear(query_size, num_hiddens, bias=False)
        self.w_v = nn.Linear(num_hiddens, 1, bias=False)

    def forward(self, queries, keys, values):
        sums = self.W_q(queries).unsqueeze(2) + self.W_k(keys).unsqueeze(1)
        return torch.bmm(torch.softmax(self.w_v(torch.tanh(sums)).squeeze(-1), -1), values)


class Concatenated(nn.Module):
    """Luong's concat score, a · tanh(W [q, k])."""

    def __init__(self, hidden_size):
        super().__init__()
        self.W = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.v = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, hidden, encoder_outputs):
        queries = hidden.unsqueeze(1).repeat(1, encoder_outputs.size(1), 1)
        energy = torch.tanh(self.W(torch.cat((queries, encoder_outputs), dim=2)))
        weights = torch.softmax(self.v(energy).squeeze(2), dim=1)
        return torch.bmm(weights.unsqueeze(1), encoder_outputs).squeeze(1)


class AttentionalState(nn.Module):
    """The state that Luong's decoder makes of the mixture and the query."""

    def __init__(self, dim):
        super().__init__()
        self.linear_in = nn.Linear(dim, dim, bias=False)
        self.linear_out = nn.Linear(dim * 2, dim, bias=False)

    def forward(self, source, memory_bank):
        weights = torch.softmax(self.linear_in(source) @ memory_bank.transpose(1, 2), -1)
        return torch.tanh(self.linear_out(torch.cat([weights @ memory_bank, source], 2)))


class GraphAttention(nn.Module):
    """Veličković et al. (2018): a sum of one number of each of two nodes."""

    def __init__(self, in_features, out_features):
        super().__init__()
        self.W = nn.Parameter(torch.randn(in_features, out_features))
        self.a = nn.Parameter(torch.randn(2 * out_features, 1))
        self.leakyrelu = nn.LeakyReLU(0.2)

    def forward(self, h, adj):
        features = h @ self.W
        first, second = self.a.chunk(2)
        scores = self.leakyrelu(features @ first + (features @ second).T)
        return torch.softmax(scores.masked_fill(adj == 0, -9e15), dim=1) @ features
