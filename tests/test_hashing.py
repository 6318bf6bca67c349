import hashlib

import numpy as np

from headwise.hashing import fingerprint


def test_values_shapes_types_and_borders_tell_apart():
    x = np.arange(6.0)
    others = [
        (x + 1,),
        (x.reshape(2, 3),),
        (x.view(np.int64),),
        (x[:3], x[3:]),
        (x[:2], x[2:]),
        (),
    ]
    assert len({fingerprint(x), *(fingerprint(*each) for each in others)}) == 1 + len(others)
    assert fingerprint(x[::2]) == fingerprint(x[::2].copy())
    assert fingerprint() == hashlib.sha256().hexdigest()
