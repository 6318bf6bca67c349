"""ONNX models: exported, quantised and fused attention against torch or onnxruntime."""

import warnings

import numpy as np
import pytest

import headwise as hw
from headwise.errors import CaptureError, DataError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

TensorProto, helper = onnx.TensorProto, onnx.helper

B, H, N, M, d, e = 2, 3, 5, 7, 4, 6


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def saved(path, nodes, inputs, outputs, constants=(), opset=17, domains=()):
    """A model of these nodes in a file."""
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "test", inputs, [value(name, None) for name in outputs], initializers)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.save(model, path)
    return path


def arrays(rng, *shapes):
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def exported(tmp_path, module, *args):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, args, str(path), dynamo=False, opset_version=17)
    return path


def torch_model(masked=True):
    """Self-attention with a causal mask, then cross-attention, twice."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.own = torch.nn.MultiheadAttention(12, 3, batch_first=True)
            self.other = torch.nn.MultiheadAttention(12, 3, batch_first=True)

        def forward(self, x, y):
            mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)
            x = x + self.own(x, x, x, attn_mask=mask if masked else None, need_weights=False)[0]
            return x + self.other(x, y, y, need_weights=False)[0]

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = torch.nn.ModuleList([Block(), Block()])

        def forward(self, x, y):
            for block in self.blocks:
                x = block(x, y)
            return x

    return Model().eval(), torch.randn(2, 5, 12), torch.randn(2, 7, 12)


def test_exported_model(tmp_path):
    model, target, source = torch_model()
    expected = hw.capture(model, target, source)
    found = hw.capture(exported(tmp_path, model, target, source), target, source)
    np.testing.assert_allclose(found.output, expected.output.detach(), atol=1e-5)
    assert [layer.name for layer in found.layers] == [layer.name for layer in expected.layers]
    assert [layer.kind for layer in found.layers] == ["self", "cross", "self", "cross"]
    for ours, theirs in zip(found.layers, expected.layers, strict=True):
        assert ours.proven, ours.message
        assert not ours.note
        np.testing.assert_allclose(ours.weights(), theirs.weights(), atol=1e-5)
        assert ours.bias is None
    assert [layer.index for layer in hw.capture(tmp_path / "model.onnx", target, source, layers=[1]).layers] == [1]


@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_int8(tmp_path, mode):
    quantization = pytest.importorskip("onnxruntime.quantization")
    model, target, source = torch_model(masked=False)
    path, small = exported(tmp_path, model, target, source), tmp_path / "int8.onnx"
    # weights of 7 bits, since products of 8 bits overflow in onnxruntime on processors without VNNI
    if mode == "dynamic":
        quantization.quantize_dynamic(path, small, reduce_range=True, extra_options={"MatMulConstBOnly": False})
    else:
        names = [i.name for i in onnx.load(path).graph.input]

        class Reader(quantization.CalibrationDataReader):
            data = iter([dict(zip(names, (target.numpy(), source.numpy()), strict=True))])

            def get_next(self):
                return next(self.data, None)

        quantization.quantize_static(path, small, Reader(), reduce_range=True)
    expected = hw.capture(path, target, source)
    found = hw.capture(small, target, source)
    assert len(found.layers) == 4
    for ours, theirs in zip(found.layers, expected.layers, strict=True):
        assert ours.precision == "int8"
        assert ours.proven, ours.message
        assert not ours.note
        np.testing.assert_allclose(ours.weights(), theirs.weights(), atol=0.05)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("masked", ["", "boolean", "float"])
def test_attention_operator(tmp_path, rng, causal, masked):
    q, k, v = arrays(rng, (B, N, 2 * H * d), (B, M, H * d), (B, M, H * e))
    mask = {"": None, "boolean": rng.random((B, 1, N, M)) < 0.7, "float": arrays(rng, (N, M))[0]}[masked]
    if masked == "boolean":
        mask[..., 0] = True
    names = ["Q", "K", "V", *(["mask"] if masked else [])]
    node = helper.make_node(
        "Attention", names, ["Y"], "/block/attention/Attention", q_num_heads=2 * H, kv_num_heads=H, is_causal=causal
    )
    kind = TensorProto.BOOL if masked == "boolean" else TensorProto.FLOAT
    inputs = [value(name, None, kind if name == "mask" else TensorProto.FLOAT) for name in names]
    path = saved(tmp_path / "m.onnx", [node], inputs, ["Y"], opset=23)
    found = hw.capture(path, *(x for x in (q, k, v, mask) if x is not None))
    (layer,) = found.layers
    assert (layer.name, layer.shape, layer.k.shape) == ("block.attention", (B, 2 * H, N, M), (B, H, M, d))
    assert layer.proven, layer.message


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("padding", ["", "lengths", "ones"])
def test_multi_head_attention_of_onnxruntime(tmp_path, rng, bias, padding):
    q, k, v, b = arrays(rng, (B, N, H * d), (B, M, H * d), (B, M, H * d), (3 * H * d,))
    given = {"q": q, "k": k, "v": v}
    if bias:
        given["b"] = b
    if padding:
        valid = np.array([M, M - 2], np.int32)
        given["p"] = valid if padding == "lengths" else (np.arange(M) < valid[:, None]).astype(np.int32)
    names = ["q", "k", "v", "b" if bias else "", "p" if padding else ""]
    node = helper.make_node("MultiHeadAttention", names, ["y"], "/a/MHA", domain="com.microsoft", num_heads=H)
    inputs = [value(n, None, TensorProto.INT32 if n == "p" else TensorProto.FLOAT) for n in given]
    path = saved(tmp_path / "m.onnx", [node], inputs, ["y"], domains=["com.microsoft"])
    (layer,) = hw.capture(path, given).layers
    assert layer.proven, layer.message
    assert layer.shape == (B, H, N, M)


@pytest.mark.parametrize("unidirectional", [0, 1])
def test_packed_attention_of_onnxruntime(tmp_path, rng, unidirectional):
    x, w, b = arrays(rng, (B, N, 8), (8, 3 * H * d), (3 * H * d,))
    node = helper.make_node(
        "Attention", ["x", "w", "b"], ["y"], "/a/Attention", domain="com.microsoft", num_heads=H,
        unidirectional=unidirectional,
    )  # fmt: skip
    path = saved(
        tmp_path / "m.onnx", [node], [value("x", (B, N, 8))], ["y"], [("w", w), ("b", b)], domains=["com.microsoft"]
    )
    (layer,) = hw.capture(path, x).layers
    assert layer.proven, layer.message
    assert layer.kind == "self"
    assert (np.triu(layer.weights()[0, 0], 1) == 0).all() == bool(unidirectional)


@pytest.mark.parametrize("rotary", [0, 1])
def test_group_query_attention(tmp_path, rng, rotary):
    q, k, v, past_k, past_v = arrays(
        rng, (B, 1, 2 * H * 16), (B, 1, H * 16), (B, 1, H * 16), (B, H, 6, 16), (B, H, 6, 16)
    )
    cos, sin = arrays(rng, (8, 8), (8, 8))
    given = {"q": q, "k": k, "v": v, "pk": past_k, "pv": past_v,
             "lengths": np.array([6, 4], np.int32), "total": np.array([7], np.int32)}  # fmt: skip
    names = list(given)
    node = helper.make_node(
        "GroupQueryAttention", [*names, "cos", "sin"], ["y", "new_k", "new_v"], "/a/GQA", domain="com.microsoft",
        num_heads=2 * H, kv_num_heads=H, do_rotary=rotary,
    )  # fmt: skip
    kinds = {"lengths": TensorProto.INT32, "total": TensorProto.INT32}
    path = saved(
        tmp_path / "m.onnx", [node], [value(n, None, kinds.get(n, TensorProto.FLOAT)) for n in names], ["y"],
        [("cos", cos), ("sin", sin)], domains=["com.microsoft"],
    )  # fmt: skip
    (layer,) = hw.capture(path, given).layers
    assert layer.proven, layer.message
    assert layer.k.shape == (B, H, 7, 16)


def test_einsum_and_a_bias(tmp_path, rng):
    q, k, v, bias = arrays(rng, (B, N, H, d), (B, M, H, d), (B, M, H, e), (H, N, M))
    nodes = [
        helper.make_node("Einsum", ["q", "k"], ["s"], "/x/Einsum", equation="bnhd,bmhd->bhnm"),
        helper.make_node("Mul", ["s", "c"], ["t"]),
        helper.make_node("Add", ["bias", "t"], ["u"]),
        helper.make_node("Softmax", ["u"], ["p"], axis=-1),
        helper.make_node("Einsum", ["p", "v"], ["y"], "/x/y/Einsum_1", equation="bhnm,bmhe->bnhe"),
    ]
    constants = [("c", np.array(0.3, np.float32)), ("bias", bias)]
    inputs = [value(n, None) for n in "qkv"]
    path = saved(tmp_path / "m.onnx", nodes, inputs, ["y"], constants)
    (layer,) = hw.capture(path, q=q, k=k, v=v).layers
    p = softmax(np.einsum("bnhd,bmhd->bhnm", q, k) * np.float32(0.3) + bias)
    np.testing.assert_allclose(layer.weights(), p, atol=1e-6)
    assert (layer.name, layer.proven, layer.bias.shape) == ("x.y", True, (1, H, N, M))
    np.testing.assert_allclose(layer.output, np.einsum("bhnm,bmhe->bhne", p, v), atol=1e-6)
    nodes[-1].name = "node_matmul_1"  # as torch's newer exporter names it
    nodes[-1].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'x', 'x.attn', 'matmul_1']")
    path = saved(tmp_path / "m.onnx", nodes, inputs, ["y"], constants)
    assert [layer.name for layer in hw.capture(path, q=q, k=k, v=v, layers="x.*").layers] == ["x.attn"]


def test_softcap(tmp_path, rng):
    q, k, v = arrays(rng, (B, H, N, d), (B, H, d, M), (B, H, M, e))
    nodes = [
        helper.make_node("MatMul", ["q", "k"], ["s"], "/x/MatMul"),
        helper.make_node("Div", ["s", "c"], ["t"]),
        helper.make_node("Tanh", ["t"], ["u"]),
        helper.make_node("Mul", ["u", "c"], ["w"]),
        helper.make_node("Softmax", ["w"], ["p"]),
        helper.make_node("MatMul", ["p", "v"], ["y"], "/x/MatMul_1"),
    ]
    constants = [("c", np.array(1.5, np.float32))]
    path = saved(tmp_path / "m.onnx", nodes, [value(n, None) for n in "qkv"], ["y"], constants)
    (layer,) = hw.capture(path, q, k, v).layers
    np.testing.assert_allclose(layer.weights(), softmax(1.5 * np.tanh(q @ k / np.float32(1.5))), atol=1e-6)
    assert (layer.softcap, layer.scale, layer.bias) == (1.5, 1.0, None)


def test_errors(tmp_path, rng):
    (x,) = arrays(rng, (2, 3))
    path = saved(tmp_path / "m.onnx", [helper.make_node("Softmax", ["x"], ["y"])], [value("x", (2, 3))], ["y"])
    with pytest.raises(CaptureError, match=r"m\.onnx: calls no attention: of its 1 Softmax"):
        hw.capture(path, x)
    node = helper.make_node("Attention", ["Q", "Q", "Q"], ["Y"])
    path = saved(tmp_path / "a.onnx", [node], [value("Q", (1, 1, 3, 4))], ["Y"], opset=23)
    with pytest.raises(DataError, match="inputs: expected Q; got x"):
        hw.capture(path, x=x)
    (tmp_path / "b.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read as an ONNX model"):
        hw.capture(tmp_path / "b.onnx", x)
    with pytest.raises(DataError, match="no such file"):
        hw.capture(str(tmp_path / "c.onnx"), x)


def written_out(prefix, values="v", output="y", scores="s"):
    """Nodes of softmax(q k) v."""
    node = onnx.helper.make_node
    return [
        node("MatMul", ["q", "k"], [scores], f"/{prefix}/MatMul"),
        node("Softmax", [scores], ["p"]),
        node("MatMul", ["p", values], [output], f"/{prefix}/MatMul_1"),
    ]


def qkv_inputs():
    shapes = {"q": (1, 2, 5, 3), "k": (1, 2, 3, 5), "v": (1, 2, 5, 4)}
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, s) for name, s in shapes.items()]
    return arrays, info


def untyped(name, kind="FLOAT", shape=None):
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)


def test_branches(tmp_path):
    arrays, inputs = qkv_inputs()
    then = onnx.helper.make_graph(written_out("block", output="a"), "then", [], [untyped("a")])
    other = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["v"], ["b"])], "else", [], [untyped("b")])
    choose = onnx.helper.make_node("If", ["c"], ["y"], name="choose", then_branch=then, else_branch=other)
    path = saved(tmp_path / "m.onnx", [choose], [untyped("c", "BOOL", []), *inputs], ["y"])
    found = hw.capture(path, c=np.array(True), **arrays)
    assert [layer.name for layer in found.layers] == ["block"]
    assert found.proven
    p = found.layers[0].weights()
    np.testing.assert_allclose(p @ arrays["v"], found.output, atol=1e-6)
    with pytest.raises(CaptureError, match="calls no attention"):
        hw.capture(path, c=np.array(False), **arrays)


def test_loops(tmp_path):
    """Three iterations, of which each attends to the values of the one before; the weights are collected."""
    arrays, inputs = qkv_inputs()
    nodes = [*written_out("block", "before", "after"), onnx.helper.make_node("Less", ["i", "two"], ["more"])]
    two = onnx.numpy_helper.from_array(np.array(2, np.int64), "two")
    [untyped("more", "BOOL", []), untyped("after"), untyped("p")]
    taken = [untyped("i", "INT64", []), untyped("going", "BOOL", []), untyped("before")]
    body = onnx.helper.make_graph(
        nodes, "body", taken, [untyped("more", "BOOL", []), untyped("after"), untyped("p")], [two]
    )
    loop = onnx.helper.make_node("Loop", ["", "yes", "v"], ["y", "all"], name="loop", body=body)
    path = saved(tmp_path / "m.onnx", [loop], inputs, ["y", "all"], [("yes", np.array(True))])
    found = hw.capture(path, **arrays)
    assert [(layer.name, layer.call) for layer in found.layers] == [("block", n) for n in range(3)]
    assert found.proven
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
    for ours, theirs in zip(found.output, session.run(None, arrays), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for layer, weights in zip(found.layers, found.output[1], strict=True):
        np.testing.assert_allclose(layer.weights(), weights, atol=1e-6)
