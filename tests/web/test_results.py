"""Texts and images of any model: what the application returns, without a socket."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.errors import DataError
from headwise.explanation import Explorer, ExplorerInput, record_input
from headwise.models import open_model
from headwise.train.checkpoint import pretrained_vit
from headwise.web import application, load_models, serve_model
from headwise.web.results import ResultStore, compute_result
from helpers.checkpoints import random_tensors, write_folder, write_image_model, write_text_model
from helpers.serving import Client

pytestmark = pytest.mark.xdist_group("results")  # so that the models are loaded once

NAMES = {str(i): name for i, name in enumerate(("birds", "dogs", "fish", "cats", "ants"))}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    others = write_text_model(folder / "dogs", random_tensors("bert", seed=5))
    return write_text_model(folder / "pets", id2label=NAMES), write_image_model(folder / "patches"), others


@pytest.fixture(scope="module")
def client(folders):
    models = load_models(map(str, folders)) | {"7x7": serve_model(pretrained_vit())}
    return Client(application(models), base_url="http://127.0.0.1:8421")


def picture(size=(31, 17)):
    content = io.BytesIO()
    colors = np.random.default_rng(3).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(colors).save(content, "PNG")
    return content.getvalue()


def test_a_pair_of_texts_is_answered_as_the_library_answers_it(client, folders):
    texts = ("the cat sat.", "a dog runs")
    shown = client.post("/api/explain?model=pets", json={"text": texts[0], "pair": f" {texts[1]} "}).json()
    model = hw.load(folders[0])
    record = record_input(model, texts)
    order = np.argsort(-record.probabilities)
    assert [name for name, _ in shown["prediction"]] == [NAMES[str(i)] for i in order]
    assert [share for _, share in shown["prediction"]] == np.rint(record.probabilities[order] * 1000).tolist()
    assert shown["tokens"] == 11
    explored = client.get(f"/api/explorer?key={shown['key']}").json()
    (input,) = explored["inputs"]
    assert [text for text, _ in input["pieces"]] == [
        "[CLS]", "the", "cat", "sat", ".", "[SEP]", "a", "dog", "run", "s", "[SEP]"
    ]  # fmt: skip
    assert input["prefix"] == [0, 5, 10]
    assert explored == json.loads(json.dumps(Explorer("", (ExplorerInput(record, "the input", "pets"),)).content()))


def test_the_results_of_two_models_are_compared(client):
    results = [client.post(f"/api/explain?model={name}", json={"text": "the cat"}).json() for name in ("pets", "dogs")]
    query = "&".join(f"key={shown['key']}" for shown in results)
    explored = client.get(f"/api/explorer?{query}").json()
    assert [input["model"] for input in explored["inputs"]] == ["pets", "dogs"]
    compared = explored["comparisons"]["0 1"]
    assert compared["same_tokens"]
    assert compared["cells"]["of_means"].keys() == {"mean"}  # six heads; three of a layer are too few


def test_what_the_prediction_depends_on_follows_the_answer(client, folders):
    key = client.post("/api/explain?model=pets", json={"text": "the cat sat."}).json()["key"]
    result = client.get(f"/api/dependence?key={key}").json()
    expected = hw.explain(hw.load(folders[0]), "the cat sat.", figure="dependence").dependence
    largest = np.abs(expected.values).max()
    values = np.rint(expected.values_by_token / largest * 1000)
    np.testing.assert_array_equal(result["values"], [0, *values, 0])
    assert result["map"] == expected.map
    assert f"{expected.agreement:.2f}"[:4] in result["caption"]


def test_an_image_is_shown_as_the_model_sees_it(client):
    shown = client.post("/api/explain?model=patches", content=picture()).json()
    (input,) = client.get(f"/api/explorer?key={shown['key']}").json()["inputs"]
    assert input["kind"] == "image"
    assert input["size"] == [10, 10]
    assert input["boxes"] == [[0, 0, 5, 5], [0, 5, 5, 5], [5, 0, 5, 5], [5, 5, 5, 5]]
    assert input["picture"].startswith("data:image/png;base64,")
    assert len(client.get(f"/api/dependence?key={shown['key']}").json()["values"]) == 5


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/api/explain?model=pets", b'{"text": " "}', 422, "text: expected a sentence"),
        ("/api/explain?model=pets", b'{"text": 3}', 422, "text: expected a text"),
        ("/api/explain?model=pets", b"the cat", 400, "Expected JSON"),
        ("/api/explain?model=pets", b'{"text": "%s"}' % (b"cat " * 2000), 422, "at most 4,000 characters"),
        ("/api/explain?model=patches", b"the cat", 415, "not an image"),
        ("/api/explain?model=7x7", b"", 404, "expected one of pets, patches, dogs"),
        ("/api/explain", b"", 404, "expected one of"),
    ],
)
def test_inputs_that_a_model_cannot_take_are_rejected(client, path, body, status, message):
    rejected = client.post(path, content=body)
    assert rejected.status_code == status, rejected.text
    assert message in rejected.text
    assert "Traceback" not in rejected.text


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("explorer?key=nothing", 410, "send the input again"),
        ("explorer?key={key}&key=nothing", 410, "send the input again"),
        ("explorer", 422, "key: expected between 1 and 3"),
        ("explorer?key={key}&key={key}&key={key}&key={key}&key={key}", 422, "key: expected between 1 and 3"),
        ("dependence?key=nothing", 410, "send the input again"),
        ("dependence", 410, "send the input again"),
    ],
)
def test_results_that_do_not_exist_are_rejected(client, query, status, message):
    key = client.post("/api/explain?model=pets", json={"text": "the cat"}).json()["key"]
    rejected = client.get("/api/" + query.format(key=key))
    assert rejected.status_code == status
    assert message in rejected.text


def test_pages_follow_the_models(client, folders):
    assert 'href="/input"' in client.get("/").text
    page = client.get("/input").text
    assert 'data-model="pets" data-kind="text"' in page
    assert '<form class="image">' in page
    assert "style=" not in page
    alone = Client(application({"pets": folders[0]}), base_url="http://127.0.0.1:8421")
    assert 'data-model="pets"' in alone.get("/").text
    assert "drop" not in alone.get("/").text
    assert alone.get("/input").status_code == 404


def test_a_model_of_neither_texts_nor_images_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"--model: .*nothing: expected one that takes texts or images"):
        load_models([str(write_folder(tmp_path / "nothing", "llama"))])  # a language model without a tokenizer


def test_old_results_are_dropped_and_the_newest_is_kept(folders):
    model = open_model(folders[0])
    results = [
        compute_result(str(i), "pets", model, text) for i, text in enumerate(("the cat", "a dog", "the dog sat"))
    ]
    store = ResultStore(max_bytes=results[1].record.weights.nbytes + results[2].record.weights.nbytes)
    for item in results:
        store.add(item)
    assert store.find("0") is None
    assert store.find("1") is results[1]
    small = ResultStore(max_bytes=1)
    for item in results:
        small.add(item)
    assert [small.find(key) for key in "012"] == [None, None, results[2]]
