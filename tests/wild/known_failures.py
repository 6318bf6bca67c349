"""Cases that the checker does not do yet, and what it says instead. A case that passes must leave the table."""

KNOWN_FAILURES = {
    "language_model_with_padding:attention": "named unknown for nothing",
    "torch/annotated_transformer:MultiHeadedAttention": "named unknown for nothing",
    "torch/bert_self_attention:BertSelfAttention": "named mask-inverted, mask-added-as-number for nothing",
    "torch/clip4clip_mask:CrossBlock": "named nothing for mask-of-another-item",
    "torch/square_root_twice:AttentionBlock": "named unknown for nothing",
    "torch/swin_window:WindowAttention": "refused",
    "torch/torch_translation:MultiHeadAttention": "named unknown for nothing",
    "torch/youtube_transformer:MultiHeadAttention": "named tokens-scrambled for heads-merged-unmoved",
    "torch/youtube_transformer:MultiHeadAttentionPermuted": "named unknown for nothing",
    "view_for_a_transpose:fuse": "named tokens-scrambled for batch-mixed",
}
