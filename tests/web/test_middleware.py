"""What the server refuses, and how: the application itself, without a socket."""

import asyncio
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.data import coursework_arrays, load_bundled_mnist
from headwise.explanation import explore
from headwise.train.checkpoint import pretrained_vit
from headwise.web import application
from headwise.web.middleware import MAX_BODY_BYTES
from headwise.web.parsing import parse_matrix
from helpers.serving import Client

ARRAYS = {
    name: "\n".join(", ".join(map(repr, row)) for row in array.tolist()) for name, array in coursework_arrays().items()
}


@pytest.fixture(scope="module")
def client():
    return Client(application({"7x7": pretrained_vit("7x7")}), base_url="http://127.0.0.1:8421")


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def bomb(side):
    """A PNG of a few bytes whose header promises side × side pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def progressive(scans):
    """A JPEG whose last scan comes so many times more."""
    content = io.BytesIO()
    Image.fromarray(np.kron(np.eye(2, dtype=np.uint8), np.full((100, 100), 255, np.uint8))).save(
        content, "JPEG", progressive=True
    )
    whole = content.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * scans + whole[-2:]


# ---- answers are the library's


def test_a_digit_is_read_as_the_library_reads_it(client):
    test = load_bundled_mnist().test
    pixels = (test.images[3] * 255).round().astype(np.uint8)
    told = client.post("/api/read", content=png(pixels)).json()
    saved = pretrained_vit("7x7")
    expected = explore(saved, pixels.astype(np.float32) / np.float32(255), model_name="7x7").content()
    assert told["models"] == {"7x7": expected}
    assert told["models"]["7x7"]["inputs"][0]["top"][0][0] == str(test.labels[3])
    assert told["prepared"] == "taken as it is"


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_the_librarys(client, heads):
    told = client.post("/api/attend", json={"arrays": ARRAYS, "heads": heads, "swap": [1, 3]}).json()
    arrays = coursework_arrays()
    for which, order in (("given", [0, 1, 2, 3, 4]), ("swapped", [0, 3, 2, 1, 4])):
        expected = hw.multi_head_attention(**(arrays | {"X": arrays["X"][order]}), heads=heads)
        np.testing.assert_array_equal(told[which]["output"], np.rint(expected.output * 1e4))
        np.testing.assert_array_equal(told[which]["weights"], np.rint(expected.weights * 1e4))
    assert told["permutations"] == 120
    assert float(told["deviation"]) < 1e-14


def test_matrices_may_be_transposed_and_attention_causal(client):
    transposed = ARRAYS | {
        name: "\n".join(" ".join(map(repr, row)) for row in coursework_arrays()[name].T.tolist())
        for name in ("Wq", "Wk", "Wv")
    }
    question = {"heads": 3, "swap": [0, 1]}
    first = client.post("/api/attend", json=question | {"arrays": ARRAYS}).json()
    second = client.post("/api/attend", json=question | {"arrays": transposed, "layout": "in, out"}).json()
    assert first == second
    causal = client.post("/api/attend", json=question | {"arrays": ARRAYS, "causal": True}).json()
    weights = np.array(causal["given"]["weights"])
    assert not np.triu(weights, 1).any()
    assert causal["given"]["logits"][0][0][1] is None
    assert causal["given"]["queries"] == first["given"]["queries"]
    assert float(causal["deviation"]) > 0.01  # a causal mask breaks equivariance


# ---- whom it answers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8421", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_another_name_is_not_answered(client, host):
    refused = client.get("/", headers={"host": host})
    assert refused.status_code == 421
    assert refused.text.startswith("Host: ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8421", "127.0.0.1:1", "[::1]:8421", "[::1]"])
def test_this_machine_is_answered(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


def test_other_sites_cannot_ask(client):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
        refused = client.post("/api/attend", json={}, headers={"origin": origin})
        assert refused.status_code == 403
    assert client.post("/api/attend", json={}, headers={"origin": "http://127.0.0.1:8421"}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/coursework", "/static/draw.js", "/api/example/3.png", "/nowhere"])
def test_every_answer_is_under_a_strict_policy(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_the_pages_hold_nothing_inline(client):
    for path in ("/", "/coursework"):
        page = client.get(path).text
        assert "<style" not in page
        assert "style=" not in page
        assert " on" + "click" not in page
        assert page.count("<script") == page.count("<script src=")


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/app.py", "/etc/passwd"])
def test_no_other_file_is_sent(client, path):
    assert client.get(path).status_code == 404


# ---- what it does not take


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 415, "not an image"),
        (b"hello", 415, "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "not an image"),
        (bomb(3000), 413, "too many pixels"),
        (bomb(60_000), 413, "too many pixels"),
        (bomb(200), 422, "image"),
        (progressive(1000), 413, "too many scans"),
        (png(np.zeros((28, 28), np.uint8)), 422, "every pixel is the same"),
        (png(np.full((50, 40), 255, np.uint8)), 422, "nothing stands out"),
    ],
)
def test_what_is_no_digit_is_refused_in_words(client, body, status, message):
    refused = client.post("/api/read", content=body)
    assert refused.status_code == status, refused.text
    assert message in refused.text
    assert "/tmp" not in refused.text
    assert refused.headers["content-type"].startswith("text/plain")


def test_an_ordinary_progressive_image_is_read(client):
    assert client.post("/api/read", content=progressive(20)).status_code == 200


def test_too_large_a_body_is_refused_before_it_is_read(client):
    async def never():
        raise AssertionError("it was read")
        yield b""

    refused = client.post("/api/read", content=never(), headers={"content-length": str(MAX_BODY_BYTES + 1)})
    assert refused.status_code == 413


def test_too_large_a_stream_is_refused_when_it_turns_out_to_be(client):
    async def chunks():
        for _ in range(MAX_BODY_BYTES // 100_000 + 2):
            yield bytes(100_000)

    refused = client.post("/api/read", content=chunks())
    assert refused.status_code == 413
    assert "too large" in refused.text


@pytest.mark.parametrize(("length", "status"), [("many", 400), ("-1", 400), ("9" * 4400, 413)])
def test_a_length_that_is_no_number_or_has_thousands_of_digits(client, length, status):
    assert client.post("/api/read", content=b"x", headers={"content-length": length}).status_code == status


def test_a_body_that_never_comes_is_not_waited_for(client, monkeypatch):
    async def slow():
        yield b"half"
        await asyncio.sleep(5)
        yield b"the rest"

    monkeypatch.setattr("headwise.web.app.HEADER_TIMEOUT", 0.05)
    assert client.post("/api/read", content=slow()).status_code == 408


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 4}, "heads: expected a divisor of the 6 rows of Wq (1, 2, 3, 6); got 4."),
        ({"heads": "3"}, "heads: expected a whole number, 1 or more."),
        ({"heads": -1}, "heads: expected a whole number, 1 or more."),
        ({"heads": True}, "heads: expected a whole number, 1 or more."),
        ({"swap": [0, 0]}, "swap: expected two different inputs from 0 to 4; got 0 and 0."),
        ({"swap": [0, 9]}, "swap: expected two different inputs"),
        ({"swap": None}, "swap: expected two inputs."),
        ({"causal": "yes"}, "causal: expected true or false."),
        ({"layout": "rows"}, "layout: expected 'out, in' or 'in, out'."),
        ({"arrays": ARRAYS | {"Wk": "1 2\n3 4"}}, "Wk: expected (d=6, D=6)"),
        ({"arrays": ARRAYS | {"X": "1, 2\n3"}}, "X: row 2 has 1 numbers, row 1 has 2."),
        ({"arrays": ARRAYS | {"Wv": "1 2 x"}}, "Wv: 'x' in row 1 is not a number."),
        ({"arrays": ARRAYS | {"Wv": ""}}, "Wv: expected numbers"),
        ({"arrays": ARRAYS | {"X": "nan " * 6 + "\n" + "1 " * 6}}, "X: expected finite numbers"),
        ({"arrays": ARRAYS | {"X": "1e300 " * 6 + "\n" + "2e300 " * 6}}, "overflow"),
        ({"arrays": dict.fromkeys(("Wq", "Wk", "Wv"), "1 0\n0 1") | {"X": "1e16 2\n1e16 4"}}, "exceeds 9e+11, above"),
        ({"arrays": ARRAYS | {"X": "1 " * 17}}, "X: at most 16 × 16"),
        ({"arrays": ARRAYS | {"X": [[1]]}}, "X: expected text"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_told_by_the_field(client, change, message):
    refused = client.post("/api/attend", json={"arrays": ARRAYS, "heads": 1, "swap": [0, 1]} | change)
    assert refused.status_code == 422
    assert message in refused.text


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"[" * 100_000, b"{}", b'{"arrays": 3}', b'{"arrays": {}}'])
def test_what_is_no_question_is_refused(client, body):
    refused = client.post("/api/attend", content=body)
    assert refused.status_code in (400, 422)
    assert "Traceback" not in refused.text


def test_other_methods_and_paths(client):
    assert client.get("/api/read").status_code == 405
    assert client.post("/").status_code == 405
    for digit in ("11", "-1", "x", "٣", "1" * 4400):
        assert client.get(f"/api/example/{digit}.png").status_code == 404
    assert client.get("/nowhere").text == "Not Found: GET /nowhere"


@pytest.mark.parametrize(
    "text", ["1, -2.5\n3e-4, 4", "1 -2.5\n\n3e-4\t4\n", "[[1, -2.5], [3e-4, 4]]", "1 -2.5; 3e-4 4"]
)
def test_numbers_as_people_paste_them(text):
    assert parse_matrix("X", text).tolist() == [[1.0, -2.5], [3e-4, 4.0]]
