"""What a parameter is by its name."""

import pytest

from headwise.checker.modules.names import bias_role, is_norm, role_of

PARTS = {
    "q": "q_proj.weight query_tfm.weight to_q.weight Wq W_q.weight W_query w_qs.weight q_lin.weight"
    " query_projection.weight wq.weight"
    " attn.self.query.weight toqueries.weight queries.weight query_conv.weight theta.weight query.linear.weight"
    " linear_q.weight q_proj_weight W_Q omega_q transform_q.weight query_gen.weight fc_q.weight query_dense.kernel"
    " anfrage.weight lin_requete.weight",
    "k": "schluessel.weight k_proj.weight to_keys.weight W_K phi.weight key_layer.weight key_net.weight",
    "v": "v_proj.weight values.weight value_conv.weight W_value wert.weight",
    "o": "o_proj.weight out_proj.weight to_out.0.weight W_o.weight unifyheads.weight fc_out.weight W_0"
    " combine_heads.weight attention.output.dense.weight attention_output.kernel output_linear.weight",
    "o?": "proj.weight c_proj.weight fc.weight dense.weight attn.proj.weight proj.base.weight",
    "qkv": "qkv.weight qkv_proj.weight to_qkv.weight in_proj_weight c_attn.weight Wqkv.weight query_key_value.weight",
    "kv": "to_kv.weight kv.weight key_value.weight kv_einsum",
    "kqv": "kqv.weight",
}
NONE = "mlp.fc1.weight ffn.0.weight gamma norm.weight ln_1.weight q_norm.weight relative_position_bias_table wte.weight"


@pytest.mark.parametrize(("part", "path"), [(part, path) for part, paths in PARTS.items() for path in paths.split()])
def test_the_names_in_use_are_read(part, path):
    role = role_of(path)
    assert role is not None
    assert role.part == part


@pytest.mark.parametrize("path", NONE.split())
def test_other_names_are_no_projections(path):
    assert role_of(path) is None


@pytest.mark.parametrize("path", ["b_q", "bq", "q_bias", "q_proj.bias", "beta_q", "query.b"])
def test_biases_are_read_alike(path):
    assert bias_role(path).part == "q"


def test_numbers_tell_the_heads_apart():
    first, second = role_of("heads.0.key.weight"), role_of("heads.1.key.weight")
    assert (first.number, second.number) == (0, 1)
    assert first.group == second.group
    assert role_of("linears.2.weight").part == "list"


def test_norms_are_known_by_their_names():
    assert all(map(is_norm, ("norm.weight", "ln_1.bias", "layer_norm", "q_norm.weight")))
    assert not any(map(is_norm, ("linear.weight", "value.weight")))
