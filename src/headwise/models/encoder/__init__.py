"""The encoder of loaded models: embeddings, blocks with options, and heads, each with its exact backward pass."""

from headwise.models.encoder.attention import AttentionOptions
from headwise.models.encoder.attention_pooling import AttentionPooling
from headwise.models.encoder.audio_embedding import AudioEmbedding
from headwise.models.encoder.block import BlockOptions
from headwise.models.encoder.heads import Head
from headwise.models.encoder.image_embedding import ImageEmbedding
from headwise.models.encoder.network import LastToken, Network
from headwise.models.encoder.norms import Norm
from headwise.models.encoder.rope import ROPE_TYPES, Rope
from headwise.models.encoder.text_embedding import TextEmbedding
from headwise.models.encoder.trunk import TrunkOptions

__all__ = [
    "ROPE_TYPES",
    "AttentionOptions",
    "AttentionPooling",
    "AudioEmbedding",
    "BlockOptions",
    "Head",
    "ImageEmbedding",
    "LastToken",
    "Network",
    "Norm",
    "Rope",
    "TextEmbedding",
    "TrunkOptions",
]
