"""Cases that the checker does not do yet, and what it says instead. A case that passes must leave the table."""

KNOWN_FAILURES = {
    "torch/bert_self_attention:BertSelfAttention": "an additive mask, documented in a clause, is taken for another",
    "torch/swin_window:WindowAttention": "takes one number of tokens only: its table of positions is not recognised",
    "torch/youtube_transformer:MultiHeadAttention": "an additive mask next to merged heads is not recognised",
}
