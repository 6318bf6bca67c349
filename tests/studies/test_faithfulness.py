import numpy as np
import pytest

from headwise.measure.curves import area, deletion
from headwise.models.looking import TokenGame
from headwise.models.vit import ViT, look, vit_params
from headwise.studies.faithfulness import faithful

MODEL = ViT(tokens="2x3", image=(6, 6), width=6, depth=2, heads=3, hidden=5, classes=3)


@pytest.fixture
def digit(rng):
    image = rng.random((6, 6)).astype(np.float32)
    return image, {name: rng.normal(size=a.shape).astype(np.float32) for name, a in vit_params(MODEL, rng).items()}


@pytest.mark.parametrize("missing", ["removed", "mean"])
def test_judged_by_the_class_that_is_read_and_by_the_class_tokens_mean_map(missing, digit):
    image, params = digit
    seen = look(image[None], params, MODEL)
    target = int(seen.probabilities[0].argmax())
    found = faithful(image, params, MODEL, missing=missing)
    game = TokenGame(image, params, MODEL, target, missing)
    mean = np.mean([[seen.weights[0, i, h, 0, 1:] for h in range(3)] for i in range(2)], axis=(0, 1))
    assert found.full == pytest.approx(seen.probabilities[0, target], rel=1e-5)
    assert found.deletion == pytest.approx(area(deletion(game, np.argsort(-mean))), rel=1e-5)
    ink = [
        np.mean([image[i, j] > 0.5 for i in range(y, y + h) for j in range(x, x + w)])
        for y, x, h, w in MODEL.tokeniser.boxes
    ]
    by_ink = faithful(image, params, MODEL, shown=np.array(ink), missing=missing)
    assert by_ink.shapley == pytest.approx(found.ink_shapley)


def test_a_map_may_be_given(digit):
    image, params = digit
    rising, falling = (faithful(image, params, MODEL, shown=sign * np.arange(6.0)) for sign in (1, -1))
    assert rising.shapley == pytest.approx(-falling.shapley)
    assert rising.random_deletion == falling.random_deletion != faithful(image, params, MODEL, seed=1).random_deletion
