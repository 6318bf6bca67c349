"""Functions, layers, modules and scripts of TensorFlow, which is in no extra: these tests need it installed."""

import os

import pytest

from headwise import check
from headwise.checker.loading import load_function

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]
tensorflow = pytest.importorskip("tensorflow")

FUNCTION = """
import tensorflow as tf

def attend(q, k, v, mask=None):
    logits = tf.matmul(q, k, transpose_b=True) / ROOT
    if mask is not None:
        logits += (mask * -1e9)  # ones are padding
    weights = tf.nn.softmax(logits, axis=-1)
    return tf.matmul(weights, v), weights
"""
CAUSAL = """
import tensorflow as tf

@tf.function
def attend(q, k, v):
    n = tf.shape(q)[1]
    s = tf.matmul(q, k, transpose_b=True) / tf.sqrt(tf.cast(tf.shape(q)[-1], q.dtype))
    visible = tf.linalg.band_part(tf.ones((n, n)), BAND)
    s = tf.where(visible[None] > 0, s, tf.fill(tf.shape(s), tf.constant(-1e9, s.dtype)))
    return tf.nn.softmax(s) @ v
"""
LAYER = """
import tensorflow as tf
from tensorflow.keras import layers

class Attention(layers.Layer):
    def __init__(self, embed_dim, num_heads=4, **options):
        super().__init__(**options)
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.query_dense, self.key_dense = layers.Dense(embed_dim), layers.Dense(embed_dim)
        self.value_dense, self.combine = layers.Dense(embed_dim), layers.Dense(embed_dim)

    def separate(self, x):
        x = tf.reshape(x, (tf.shape(x)[0], -1, self.num_heads, self.embed_dim // self.num_heads))
        return tf.transpose(x, perm=[0, 2, 1, 3])

    def call(self, inputs):
        q, k, v = (self.separate(f(inputs)) for f in (self.query_dense, self.key_dense, self.value_dense))
        width = tf.cast(tf.shape(WIDTH)[-1], tf.float32)
        p = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / tf.math.sqrt(width), axis=-1)
        mixed = tf.transpose(tf.matmul(p, v), perm=[0, 2, 1, 3])
        return self.combine(tf.reshape(mixed, (tf.shape(inputs)[0], -1, self.embed_dim)))
"""
MODULE = """
import tensorflow as tf

class Attention(tf.Module):
    def __init__(self, width=12, d=4):
        super().__init__()
        draw = tf.random.Generator.from_seed(1)
        self.w_q, self.w_k, self.w_v = (tf.Variable(draw.normal((width, d))) for _ in range(3))

    def __call__(self, x):
        q, k, v = x @ self.w_q, x @ self.w_k, x @ self.w_v
        scale = tf.sqrt(tf.cast(tf.shape(k)[-1], tf.float32))
        return tf.nn.softmax(q @ tf.transpose(k, [0, 2, 1]) / scale, axis=AXIS) @ v
"""
SCRIPT = """
import tensorflow as tf

X = tf.random.normal((5, 6), seed=3)
W_q, W_k, W_v = (tf.random.normal((6, 4), seed=i) for i in range(3))
Q, K, V = X @ W_q, X @ W_k, X @ W_v
out = tf.nn.softmax(tf.matmul(Q, K, transpose_b=True) / SCALE) @ V
"""
CASES = [
    (FUNCTION.replace("ROOT", "tf.math.sqrt(tf.cast(tf.shape(k)[-1], tf.float32))"), ()),
    (FUNCTION.replace("ROOT", "tf.cast(tf.shape(k)[-1], tf.float32)"), ("scale-no-root",)),
    (CAUSAL.replace("BAND", "-1, 0"), ()),
    (CAUSAL.replace("BAND", "-1, 1"), ("causal-off-by-one",)),
    (LAYER.replace("WIDTH", "q"), ()),
    (LAYER.replace("WIDTH", "inputs"), ("scale-model-width",)),
    (MODULE.replace("AXIS", "-1"), ()),
    (MODULE.replace("AXIS", "1"), ("softmax-axis",)),
    (SCRIPT.replace("SCALE", "tf.sqrt(4.0)"), ()),
    (SCRIPT.replace("SCALE", "4.0"), ("scale-no-root",)),
]


@pytest.mark.parametrize(("code", "mistakes"), CASES)
def test_code_of_tensorflow_is_checked_in_float32(code, mistakes, tmp_path):
    path = tmp_path / "code.py"
    path.write_text(code)
    function, source, _ = load_function(str(path))
    verdict = check(function, source=source)
    assert verdict.mistakes == mistakes
    assert verdict.ok is not bool(mistakes)
    assert "dtype-lowered" not in verdict.hazards
