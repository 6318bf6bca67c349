"""Attention in torch without a call of softmax, or with more after it: proven, or refused with a reason."""

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CaptureError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

F = torch.nn.functional
B, H, N, d = 2, 3, 7, 5
D = H * d


class Layer(torch.nn.Module):
    """Self-attention (B, N, D) with a function of q, k, v (B, H, N, d) that returns weights and output."""

    def __init__(self, attend):
        super().__init__()
        self.qkv, self.attend = torch.nn.Linear(D, 3 * D), attend
        self.mix = torch.nn.Linear(H, H, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).view(B, N, 3, H, d).permute(2, 0, 3, 1, 4)
        self.weights, o = self.attend(self, q * 2, k, v)
        return o


def scores(q, k):
    return q @ k.mT / d**0.5


FOLLOWED = {}
REFUSED = {}


def followed(function):
    FOLLOWED[function.__name__] = function
    return function


def refused(reason):
    def add(function):
        REFUSED[function.__name__] = (function, reason)
        return function

    return add


@followed
def exponentials_over_their_sum(self, q, k, v):
    e = (scores(q, k) - scores(q, k).amax(-1, keepdim=True)).exp()
    p = e / e.sum(-1, keepdim=True)
    return p, p @ v


@followed
def division_after_the_product(self, q, k, v):
    e = torch.exp(scores(q, k))
    return e / e.sum(-1, keepdim=True), (e @ v) / e.sum(-1, keepdim=True)


@followed
def causal_by_exponentials(self, q, k, v):
    s = scores(q, k).masked_fill(torch.ones(N, N).triu(1).bool(), -1e9)
    e = torch.exp(s - s.max(-1, keepdim=True)[0])
    p = e / (e.sum(-1, keepdim=True) + 1e-9)
    return p, torch.matmul(p, v)


@followed
def exponentials_times_a_mask(self, q, k, v):
    e = scores(q, k).exp() * torch.ones(N, N).tril()
    p = e / e.sum(-1, keepdim=True)
    return p, p @ v


@followed
def log_softmax(self, q, k, v):
    p = scores(q, k).log_softmax(-1).exp()
    return p, p @ v


@followed
def log_sum_exp(self, q, k, v):
    s = scores(q, k)
    p = (s - s.logsumexp(-1, keepdim=True)).exp()
    return p, p @ v


@followed
def one_more_in_the_denominator(self, q, k, v):
    e = scores(q, k).exp()
    p = e / (1 + e.sum(-1, keepdim=True))
    return p, p @ v


@followed
def sums_of_products(self, q, k, v):
    p = ((q[:, :, :, None] * k[:, :, None]).sum(-1) / d**0.5).softmax(-1)
    return p, (p[..., None] * v[:, :, None]).sum(-2)


@followed
def rows_of_all_items_in_one_axis(self, q, k, v):
    p = scores(q, k).view(B * H * N, N).softmax(1).view(B, H, N, N)
    return p, p @ v


@followed
def weights_that_are_shown_next_to_a_kernel(self, q, k, v):
    return scores(q, k).softmax(-1), F.scaled_dot_product_attention(q, k, v)


@followed
def mask_after_the_softmax(self, q, k, v):
    p = scores(q, k).softmax(-1).masked_fill(torch.ones(N, N).triu(1).bool(), 0)
    return p, p @ v


@followed
def mask_after_the_softmax_normalised(self, q, k, v):
    p = scores(q, k).softmax(-1) * torch.ones(N, N).tril()
    p = p / p.sum(-1, keepdim=True)
    return p, p @ v


@followed
def two_softmaxes(self, q, k, v):
    p = scores(q, k).softmax(-1).softmax(-1)
    return p, p @ v


@followed
def largest_three(self, q, k, v):
    s = scores(q, k)
    p = s.masked_fill(s < s.topk(3, -1).values[..., -1:], float("-inf")).softmax(-1)
    return p, p @ v


@followed
def sparsemax(self, q, k, v):
    s = scores(q, k)
    ordered = s.sort(-1, descending=True).values
    sums, count = ordered.cumsum(-1), torch.arange(1, N + 1)
    support = ((1 + count * ordered) > sums).sum(-1, keepdim=True)
    p = (s - (sums.gather(-1, support - 1) - 1) / support).clamp(min=0)
    return p, p @ v


@followed
def mean_over_heads_on_purpose(self, q, k, v):
    p = scores(q, k).softmax(-1).mean(1, keepdim=True)
    return p.expand(B, H, N, N), p @ v


@followed
def odd_letters(self, q, k, v):
    p = (torch.einsum("zyxw,zyvw->zyvx", q, k) / d**0.5).softmax(-2)
    return p.mT, torch.einsum("zyvx,zyvw->zyxw", p, v)


@followed
def mapped_softmax(self, q, k, v):
    e = scores(q, k).exp()
    return e / e.sum(-1, keepdim=True), torch.vmap(torch.vmap(lambda q, k, v: scores(q, k).softmax(-1) @ v))(q, k, v)


@followed
def half_precision(self, q, k, v):
    p = scores(q, k).half().softmax(-1).float()
    return p, p @ v


@refused("multiplied with values without the normalisation of a softmax")
def sigmoids(self, q, k, v):
    return None, torch.sigmoid(scores(q, k)) @ v


@refused("not divided by their sum afterwards")
def softmax_in_parts(self, q, k, v):
    m, total, o = torch.full((B, H, N, 1), -torch.inf), torch.zeros(B, H, N, 1), torch.zeros_like(q)
    for j in range(0, N, 3):
        s = scores(q, k[:, :, j : j + 3])
        larger = torch.maximum(m, s.amax(-1, keepdim=True))
        e, shrunk = (s - larger).exp(), (m - larger).exp()
        total, o, m = total * shrunk + e.sum(-1, keepdim=True), o * shrunk + e @ v[:, :, j : j + 3], larger
    return None, o / total


@refused("multiplied with values in several parts")
def keys_in_two_parts(self, q, k, v):
    p = scores(q, k).softmax(-1)
    return None, p[..., :3] @ v[:, :, :3] + p[..., 3:] @ v[:, :, 3:]


@refused("another normalisation")
def linear(self, q, k, v):
    q, k = F.elu(q) + 1, F.elu(k) + 1
    return None, q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)


@refused("another normalisation")
def retention(self, q, k, v):
    return None, (q @ k.mT * torch.ones(N, N).tril()) @ v


@refused("nested tensors")
def nested(self, q, k, v):
    parts = torch.nested.nested_tensor([q[0], q[1]])
    return None, F.scaled_dot_product_attention(parts, parts, parts)


@pytest.mark.parametrize("name", FOLLOWED)
def test_followed(name):
    torch.manual_seed(0)
    layer = Layer(FOLLOWED[name]).eval()
    (found,) = hw.capture(layer, torch.randn(B, N, D)).layers
    assert found.proven, found.message
    tolerance = 1e-3 if name == "half_precision" else 1e-5
    np.testing.assert_allclose(found.weights(), layer.weights.detach(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_refused(name):
    attend, reason = REFUSED[name]
    with pytest.raises(CaptureError, match=reason):
        hw.capture(Layer(attend).eval(), torch.randn(B, N, D))


@pytest.mark.parametrize("name", ["h", "nh", "head_count", "n_attn_heads", "num_heads"])
def test_heads_and_items_in_one_axis_are_told_apart_by_the_modules_number_of_heads(name):
    class Merged(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head_dim = d
            setattr(self, name, H)

        def forward(self, q, k, v):
            q, k, v = (x.reshape(N, B * H, d).transpose(0, 1) for x in (q, k, v))
            p = (torch.bmm(q, k.mT) / d**0.5).softmax(-1)
            self.weights = p.view(B, H, N, N)
            return torch.bmm(p, v)

    layer = Merged()
    (found,) = hw.capture(layer, *torch.randn(3, N, B, D)).layers
    np.testing.assert_allclose(found.weights(), layer.weights, rtol=0, atol=1e-5)


def test_weights_for_show_that_are_others_are_not_passed_over():
    def shown(self, q, k, v):
        return scores(q, k.flip(2)).softmax(-1), F.scaled_dot_product_attention(q, k, v)

    with pytest.raises(CaptureError, match="multiplied with no values"):
        hw.capture(Layer(shown).eval(), torch.randn(B, N, D))


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("constant_pad_nd", lambda p: F.pad(p, (0, 1)).flatten(2)[..., :-N].view(*p.shape[:2], N, N)),
        ("flip", lambda p: p.flip(-1)),
        ("roll", lambda p: p.roll(1, -1)),
    ],
)
def test_the_operation_that_moves_weights_is_named(name, move):
    def chunks(self, q, k, v):
        p = scores(q, k).softmax(-1)
        return p, torch.stack([torch.einsum("bhnm,bhmd->bhnd", move(p)[..., :2], v[..., :2, :])] * 2)[0]

    with pytest.raises(CaptureError, match=f"{name} moves its elements, as in attention computed in chunks"):
        hw.capture(Layer(chunks).eval(), torch.randn(B, N, D))


def test_training_mode_is_named():
    model = torch.nn.TransformerEncoderLayer(D, H, batch_first=True)
    assert ".eval()" in hw.capture(model, torch.randn(B, N, D)).layers[0].message
    assert hw.capture(model.eval(), torch.randn(B, N, D)).proven


def talking_heads(self, q, k, v):
    p = scores(q, k).softmax(-1)
    return None, self.mix(p.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) @ v


def difference_of_two(self, q, k, v):
    p = scores(q, k).softmax(-1) - 0.5 * scores(q.flip(-1), k).softmax(-1)
    return None, p @ v


@pytest.mark.parametrize(("attend", "change"), [(talking_heads, "a linear layer"), (difference_of_two, "sub")])
def test_weights_that_are_no_softmax_are_not_proven(attend, change):
    torch.manual_seed(0)
    (found,) = hw.capture(Layer(attend).eval(), torch.randn(B, N, D)).layers
    assert not found.proven
    assert f"changed by {change}" in found.message


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("turned", ["keys", "queries"])
@pytest.mark.parametrize("heads", [(), (H,)])
def test_additive_attention_is_self_attention_without_queries_and_keys(heads, turned):
    """The scores of a graph attention network, a column plus a row; each may be the output of a linear layer."""

    class Graph(torch.nn.Module):
        def __init__(self):
            super().__init__()
            shapes = ((*heads, D, d), (*heads, d, 1), (*heads, d, 1))
            self.w, self.a, self.b = (torch.nn.Parameter(torch.randn(shape)) for shape in shapes)

        def forward(self, x):
            values = x @ self.w
            column, row = values @ self.a, (values @ self.b).mT
            e = F.leaky_relu(column + row if turned == "keys" else row + column, 0.2)
            self.weights = e.softmax(-1)
            return self.weights @ values

    torch.manual_seed(0)
    model = Graph()
    (layer,) = hw.capture(model, torch.randn(*([B, 1] if heads else []), N, D)).layers
    assert (layer.kind, layer.proven) == ("self", True)
    expected = model.weights.detach().numpy().reshape(layer.shape)
    np.testing.assert_allclose(layer.weights(), expected, atol=1e-6)


class Steps(torch.nn.Module):
    """Attention of each token to those so far, whose keys and values are in a cache."""

    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(D, 3 * D)

    def forward(self, x):
        steps = self.qkv(x).view(B, N, 3, H, d).permute(2, 0, 3, 1, 4)
        k, v, rows = steps[1, :, :, :0], steps[2, :, :, :0], []
        for n in range(N):
            q, new_k, new_v = self.qkv(x[:, n : n + 1]).view(B, 1, 3, H, d).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([k, new_k], 2), torch.cat([v, new_v], 2)
            rows.append(scores(q, k).softmax(-1) @ v)
        return torch.cat(rows, 2)


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("context", [torch.inference_mode, autocast])
def test_contexts_in_which_operations_arrive_otherwise(context):
    """Whole products in inference mode, and copies of parameters, which autocast also keeps from earlier runs."""
    torch.manual_seed(0)
    model, x = Steps().eval(), torch.randn(B, N, D)
    expected = hw.capture(model, x).weights()
    encoder = torch.nn.TransformerEncoderLayer(D, H, batch_first=True).eval()
    with context():
        model(x)
        found, of_encoder = hw.capture(model, x), hw.capture(encoder, x)
    assert [(layer.kind, layer.shape) for layer in found.layers] == [("self", (B, H, N, N))]
    assert found.proven
    assert of_encoder.proven
    assert not of_encoder.ignored
    np.testing.assert_allclose(found.weights(), expected, atol=1e-5 if context is torch.inference_mode else 1e-2)


def test_mapped_kernel():
    q, k, v = torch.randn(3, B, H, N, d)
    found = hw.capture(torch.vmap(F.scaled_dot_product_attention), q, k, v)
    assert found.proven
    assert sum(layer.shape[0] for layer in found.layers) == B


@pytest.mark.parametrize("queries", [1, N])
@pytest.mark.parametrize("letters", ["bhnm,bhmd->bhnd", "bhnm,bhmd->bnhd"])
def test_one_key(letters, queries):
    """torch multiplies a single key's value elementwise, as in the first step of a generation."""
    q, k, v = torch.randn(B, H, queries, d), *torch.randn(2, B, H, 1, d)

    def attend(q, k, v):
        return torch.einsum(letters, (torch.einsum("bhnd,bhmd->bhnm", q, k) / d**0.5).softmax(-1), v)

    (found,) = hw.capture(attend, q, k, v).layers
    assert found.proven
    assert found.weights().shape == (B, H, queries, 1)
