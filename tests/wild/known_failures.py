"""Cases that the checker does not do yet, and what it says instead. A case that passes must leave the table."""

KNOWN_FAILURES = {
    "torch/bert_self_attention:BertSelfAttention": "an additive mask that is documented in a clause is taken for another",
    "torch/swin_window:WindowAttention": "takes one number of tokens only: its table of positions is not recognised",
    "torch/torch_translation:MultiHeadAttention": "returns the masked logits next to the output",
    "torch/youtube_transformer:MultiHeadAttention": "an additive mask next to merged heads is not recognised",
}
