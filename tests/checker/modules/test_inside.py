"""Where the attention is in a larger model, by the names of its parameters."""

from headwise.checker.modules.inside import attention_sites, enclosing_parts

GPT = [
    f"layers.{i}.{name}.weight" for i in range(2) for name in ("ln_1", "attn.c_attn", "attn.c_proj", "mlp.0", "mlp.2")
]
GPT_PARTS = ["", *(f"layers.{i}{part}" for i in range(2) for part in ("", ".ln_1", ".attn", ".attn.c_attn", ".mlp"))]
HEADS = [f"sa.heads.{i}.{x}.weight" for i in range(3) for x in ("key", "query", "value")] + [
    "sa.proj.weight",
    "ff.weight",
]
HEAD_PARTS = ["", "sa", "sa.heads", *(f"sa.heads.{i}" for i in range(3))]
BERT = [f"attention.self.{x}.weight" for x in ("query", "key", "value")]
BERT += ["attention.output.dense.weight", "attention.output.LayerNorm.weight", "intermediate.dense.weight"]
BERT_PARTS = ["", "attention", "attention.self", "attention.output", "intermediate"]


def test_every_layer_has_its_attention():
    assert attention_sites(GPT, GPT_PARTS) == ["layers.0.attn", "layers.1.attn"]


def test_heads_in_a_list_are_one_attention():
    assert attention_sites(HEADS, HEAD_PARTS) == ["sa"]


def test_projections_that_a_part_holds_itself():
    assert attention_sites(["q.weight", "k.weight", "v.weight"], ["", "q", "k", "v"]) == [""]


def test_four_numbered_matrices_are_an_attention():
    names = [f"linears.{i}.weight" for i in range(4)]
    assert attention_sites(names, ["", "linears", "linears.0"]) == [""]


def test_the_output_projection_may_be_outside():
    (site,) = attention_sites(BERT, BERT_PARTS)
    assert enclosing_parts(site, BERT, BERT_PARTS) == ["attention", "attention.self"]


def test_a_block_with_other_layers_is_more_than_attention():
    assert enclosing_parts("layers.0.attn", GPT, GPT_PARTS) == ["layers.0.attn"]


def test_a_wrapper_that_learns_nothing_is_part_of_it():
    names = ["mha.in_proj_weight", "mha.out_proj.weight", "norm.weight"]
    assert enclosing_parts("mha", names, ["", "mha", "norm"]) == ["", "mha"]
