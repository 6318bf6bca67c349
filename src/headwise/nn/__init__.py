"""Layers as pairs of functions, forward and backward, over flat dicts of arrays.

``f_forward(x, params) -> (y, cache)`` and ``f_backward(dy, cache) -> (dx, grads)``. A layer holds no state.
"""

from headwise.attention.textbook import softmax
from headwise.nn.activation_functions import (
    ACTIVATIONS,
    ActivationCache,
    activation_backward,
    activation_forward,
    freeze_activation,
)
from headwise.nn.attention import (
    SelfAttentionCache,
    self_attention_layer_backward,
    self_attention_layer_forward,
    self_attention_layer_params,
)
from headwise.nn.batch_norm import BatchNormCache, batch_norm_backward, batch_norm_forward, batch_norm_params
from headwise.nn.cross_attention import MabCache, mab_backward, mab_forward, mab_params
from headwise.nn.dropout import dropout_backward, dropout_forward
from headwise.nn.encoder import EncoderCache, encoder_backward, encoder_forward, encoder_params, stack_attention_weights
from headwise.nn.encoder_layer import (
    EncoderLayerCache,
    encoder_layer_backward,
    encoder_layer_forward,
    encoder_layer_params,
)
from headwise.nn.layer_norm import LayerNormCache, layer_norm_backward, layer_norm_forward, layer_norm_params
from headwise.nn.linear import LinearCache, linear_backward, linear_backward_parallel, linear_forward, linear_params
from headwise.nn.losses import (
    CrossEntropyCache,
    absolute_error_backward,
    absolute_error_forward,
    cross_entropy_backward,
    cross_entropy_forward,
    squared_error_backward,
    squared_error_forward,
)
from headwise.nn.padding import Padding
from headwise.nn.params import Params, flatten, subtree, unflatten, with_prefix
from headwise.nn.patch_embedding import embedding_backward, embedding_forward, embedding_params
from headwise.nn.rms_norm import RmsNormCache, rms_norm_backward, rms_norm_forward
from headwise.nn.rotary import Pairing, Rotation, rotary_backward, rotary_forward
from headwise.nn.set_blocks import (
    IsabCache,
    isab_backward,
    isab_forward,
    isab_params,
    pma_backward,
    pma_forward,
    pma_params,
    sab_backward,
    sab_forward,
    sab_params,
)
from headwise.nn.transformer_block import (
    BlockCache,
    MlpCache,
    block_backward,
    block_forward,
    block_params,
    mlp_backward,
    mlp_forward,
    mlp_params,
)

__all__ = [
    "ACTIVATIONS",
    "ActivationCache",
    "BatchNormCache",
    "BlockCache",
    "CrossEntropyCache",
    "EncoderCache",
    "EncoderLayerCache",
    "IsabCache",
    "LayerNormCache",
    "LinearCache",
    "MabCache",
    "MlpCache",
    "Padding",
    "Pairing",
    "Params",
    "RmsNormCache",
    "Rotation",
    "SelfAttentionCache",
    "absolute_error_backward",
    "absolute_error_forward",
    "activation_backward",
    "activation_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_params",
    "block_backward",
    "block_forward",
    "block_params",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "embedding_backward",
    "embedding_forward",
    "embedding_params",
    "encoder_backward",
    "encoder_forward",
    "encoder_layer_backward",
    "encoder_layer_forward",
    "encoder_layer_params",
    "encoder_params",
    "flatten",
    "freeze_activation",
    "isab_backward",
    "isab_forward",
    "isab_params",
    "layer_norm_backward",
    "layer_norm_forward",
    "layer_norm_params",
    "linear_backward",
    "linear_backward_parallel",
    "linear_forward",
    "linear_params",
    "mab_backward",
    "mab_forward",
    "mab_params",
    "mlp_backward",
    "mlp_forward",
    "mlp_params",
    "pma_backward",
    "pma_forward",
    "pma_params",
    "rms_norm_backward",
    "rms_norm_forward",
    "rotary_backward",
    "rotary_forward",
    "sab_backward",
    "sab_forward",
    "sab_params",
    "self_attention_layer_backward",
    "self_attention_layer_forward",
    "self_attention_layer_params",
    "softmax",
    "squared_error_backward",
    "squared_error_forward",
    "stack_attention_weights",
    "subtree",
    "unflatten",
    "with_prefix",
]
