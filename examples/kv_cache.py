"""A key/value cache: tokens arrive one at a time, and each attends to all before it.

A cache is a concatenation, and `align="end"` says that the last query belongs to the last key. So one new query sees
every key, and a chunk of several sees what each of them would have seen alone.
"""

import numpy as np

from headwise import attention

HEADS, KEY_HEADS, WIDTH, TOKENS = 8, 2, 16, 12


def main() -> None:
    rng = np.random.default_rng(0)
    q = rng.standard_normal((HEADS, TOKENS, WIDTH))
    k, v = rng.standard_normal((2, KEY_HEADS, TOKENS, WIDTH))  # grouped heads: four query heads read one key head
    whole = attention(q, k, v, causal=True)

    cache_k, cache_v = k[:, :5], v[:, :5]  # a prompt of five tokens
    outputs = [attention(q[:, :5], cache_k, cache_v, causal=True)]
    for new in (slice(5, 6), slice(6, 7), slice(7, 12)):  # two single tokens, then a chunk of five
        cache_k = np.concatenate([cache_k, k[:, new]], axis=1)
        cache_v = np.concatenate([cache_v, v[:, new]], axis=1)
        outputs.append(attention(q[:, new], cache_k, cache_v, causal=True, align="end"))
        print(f"{outputs[-1].shape[1]} new, {cache_k.shape[1]} keys in the cache")

    difference = np.abs(np.concatenate(outputs, axis=1) - whole).max()
    print(f"largest difference from attention over all {TOKENS} tokens at once: {difference:.1e}")


if __name__ == "__main__":
    main()
