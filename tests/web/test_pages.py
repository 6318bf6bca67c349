"""The live pages in a real browser: drawing, keys, files, the arrays; nothing asked of any other machine."""

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image

import headwise as hw
from headwise.data import coursework_arrays, load_bundled_mnist
from headwise.explanation import explore
from headwise.explanation.explorer import build_views
from headwise.text import Statement, as_text
from headwise.train.checkpoint import PRETRAINED, pretrained_vit
from helpers.browser import console_messages, open_page, requested_hosts, set_viewport, wait_until
from helpers.checkpoints import random_tensors, write_image_model, write_text_model
from helpers.serving import run_server

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def pages(driver):
    """(driver, address) of the browser at one server."""
    with run_server() as (_, where):
        yield driver, where


@pytest.fixture
def page(pages):
    """Opens a page; afterwards the console must be empty and no other host requested."""
    driver, where = pages
    set_viewport(driver, 1280)
    console_messages(driver), requested_hosts(driver)

    def opened(path=""):
        open_page(driver, where + path)
        if not path:
            answered(driver)  # the example that the page begins with
        return driver

    yield opened
    assert console_messages(driver) == []
    assert requested_hosts(driver) == {"127.0.0.1"}


def texts(driver, selector):
    return [found.text for found in driver.find_elements("css selector", selector)]


def answered(driver):
    wait_until(
        driver, "return document.querySelector('.status').textContent.startsWith('Answered') && !asking && !waiting"
    )
    return texts(driver, ".reading")


def strokes(driver, *paths):
    """Draw with the mouse, in parts of the pad's width from its middle."""
    from selenium.webdriver import ActionChains

    pad = driver.find_element("css selector", ".pad")
    side = pad.size["width"]
    for path in paths:
        actions = ActionChains(driver, duration=10)
        for i, (x, y) in enumerate(path):
            actions.move_to_element_with_offset(pad, x * side, y * side)
            if i == 0:
                actions.click_and_hold()
        actions.release().perform()


def test_drawing_is_answered_by_every_model(page):
    driver = page()
    strokes(driver, [(0, -0.3), (0, -0.1), (0, 0.1), (0, 0.3)])
    said = answered(driver)
    assert len(said) == len(PRETRAINED)
    pixels = driver.execute_script("return canvas.toDataURL().split(',')[1]")
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(pixels))).convert("L"))
    assert drawn.shape == (280, 280)
    assert drawn[:, 140].mean() > 100 > 10 > drawn[:, 40].mean()
    told = driver.execute_script("return answer.models")
    for name, words in zip(PRETRAINED, said, strict=True):
        saved = pretrained_vit(name)
        picture = told[name]["inputs"][0]["picture"].split(",")[1]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))), np.float32)
        assert shown.sum() > 20 * 255
        record = explore(saved, shown / 255).records[0]
        first = int(record.probabilities.argmax())
        assert words.startswith(f"predicts {first} (")
        assert float(words.split("(")[1].split("%")[0]) == pytest.approx(100 * record.probabilities[first], abs=1)
    driver.find_element("css selector", ".clear").click()
    assert texts(driver, ".status") == ["Nothing is drawn yet."]


@pytest.mark.exhaustive
def test_an_example_is_read_as_the_library_reads_it_and_can_be_looked_into(page):
    driver = page()
    driver.find_elements("css selector", ".examples button")[4].click()
    answered(driver)
    test = load_bundled_mnist().test
    image = test.images[int(np.flatnonzero(test.labels == 4)[0])]
    for name, words in zip(PRETRAINED, texts(driver, ".reading"), strict=True):
        saved = pretrained_vit(name)
        record = explore(saved, image).records[0]
        share = as_text(Statement("{p:.1%}", {"p": float(record.probabilities[4])}))
        assert words.startswith(f"predicts 4 ({share})")
    rows = driver.find_element("css selector", ".card[data-model=rows]")
    rows.click()
    wait_until(driver, "return document.querySelectorAll('#explorer .cell').length === 28")
    view = driver.execute_script("return document.querySelector('.heads input:checked').value")
    row = build_views(record.weights.astype(float))[view][0]  # of the last of them, the rows
    script = "return [...document.querySelectorAll('.listed td')].slice(1).map(cell => cell.textContent)"
    assert driver.execute_script(script) == [f"{value:.3f}" for value in row]


@pytest.mark.exhaustive
def test_drawing_by_keys(page):
    from selenium.webdriver.common.keys import Keys

    driver = page()
    pad = driver.find_element("css selector", ".pad")
    pad.send_keys(*[Keys.ARROW_UP] * 9, Keys.SPACE, *[Keys.ARROW_DOWN] * 18)
    assert pad.get_attribute("aria-description") == "Pen down, row 23, column 14."
    assert all(words.startswith(("predicts 1", "predicts 7")) for words in answered(driver))
    pad.send_keys(Keys.DELETE)  # with the pen down
    assert texts(driver, ".status") == ["Nothing is drawn yet."]
    assert pad.get_attribute("aria-description") == "Pen up, row 23, column 14."
    assert driver.execute_script("return ink.getImageData(0, 0, SIDE, SIDE).data.every((v, i) => i % 4 === 3 || !v)")
    assert stale(driver)
    pad.send_keys(Keys.ARROW_UP, Keys.SPACE, *[Keys.ARROW_UP] * 9)
    answered(driver)
    assert not stale(driver)


def stale(driver):
    """Whether the answers are marked as those to another drawing."""
    marked = driver.execute_script(
        "return ['.cards', '.below'].map((p) => document.querySelector(p).matches('.stale'))"
    )
    assert len(set(marked)) == 1
    return marked[0]


@pytest.mark.exhaustive
def test_drawing_with_a_finger_on_a_phone(page):
    driver = page()
    set_viewport(driver, 390)
    frame = driver.execute_script("return document.querySelector('.pad').getBoundingClientRect().toJSON()")
    x = frame["x"] + frame["width"] / 2
    for kind, height in (
        ("touchStart", 0.2),
        ("touchMove", 0.4),
        ("touchMove", 0.6),
        ("touchMove", 0.8),
        ("touchEnd", None),
    ):
        points = [] if height is None else [{"x": x, "y": frame["y"] + height * frame["height"]}]
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert all(words.startswith("predicts 1") for words in answered(driver))
    assert driver.execute_script("return scrollY") == 0


def test_a_file_is_read_and_another_refused(page, tmp_path):
    driver = page()
    field = driver.find_element("css selector", "input[type=file]")
    digit = (load_bundled_mnist().test.images[load_bundled_mnist().test.labels == 2][0] * 255).astype(np.uint8)
    Image.fromarray(255 - np.kron(digit, np.ones((40, 40), np.uint8))).save(tmp_path / "two.jpg")  # 1120 pixels wide
    field.send_keys(str(tmp_path / "two.jpg"))
    assert all(words.startswith("predicts 2") for words in answered(driver))
    assert "560 × 560 pixels, dark ink turned light" in texts(driver, ".status")[0]
    (tmp_path / "odd.png").write_bytes(b"no image")
    field.send_keys(str(tmp_path / "odd.png"))
    wait_until(driver, "return document.querySelector('.status').classList.contains('wrong')")
    assert texts(driver, ".status") == ["This is not an image that the browser can read."]
    assert stale(driver)


@pytest.mark.exhaustive
def test_what_is_transparent_is_white_on_the_pad_as_it_is_to_the_server(page, tmp_path):
    driver = page()
    digit = (load_bundled_mnist().test.images[load_bundled_mnist().test.labels == 2][0] * 255).astype(np.uint8)
    ink = np.kron(digit, np.ones((10, 10), np.uint8))
    Image.fromarray(np.dstack([*[np.zeros_like(ink)] * 3, ink])).save(
        tmp_path / "two.png"
    )  # black, where it is not clear
    driver.find_element("css selector", "input[type=file]").send_keys(str(tmp_path / "two.png"))
    assert all(words.startswith("predicts 2") for words in answered(driver))
    shown = driver.execute_script("return [...ink.getImageData(0, 0, SIDE, SIDE).data].filter((_, i) => i % 4 === 0)")
    np.testing.assert_allclose(np.reshape(shown, (280, 280)), 255 - ink.astype(int), atol=2)


def cells(driver, which, step, head=0):
    script = """
        const tables = [...document.querySelectorAll(`.${arguments[0]} table[data-step=${arguments[1]}]`)];
        return [...tables[arguments[2]].rows].slice(1).map((row) => [...row.cells].slice(1).map((c) => c.textContent))
    """
    return driver.execute_script(script, which, step, head)


def fill(driver, name, text):
    """Type a text at once: on a busy machine the page sends what has been typed so far, an error in the console."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    driver.execute_script(script, driver.find_element("name", name), text)


def written(matrix):
    return [["–" if np.isnan(value) else f"{value:.4f}" for value in row] for row in matrix]


def test_the_courseworks_numbers_follow_what_is_typed(page):
    from selenium.webdriver.support.ui import Select

    driver = page("coursework")
    wait_until(driver, "return document.querySelectorAll('.results table').length === 2 * 7")
    arrays = coursework_arrays()
    one = hw.multi_head_attention(**arrays, heads=1)
    assert cells(driver, "given", "weights") == written(one.weights[0])
    fill(driver, "heads", "3")
    Select(driver.find_element("name", "second")).select_by_value("4")
    wait_until(driver, "return document.querySelectorAll('.results table').length === 2 * 19 && last.swap[1] === 4")
    swapped = arrays["X"][[4, 1, 2, 3, 0]]
    three = hw.multi_head_attention(**(arrays | {"X": swapped}), heads=3)
    assert cells(driver, "swapped", "weights", 2) == written(three.weights[2])
    assert cells(driver, "swapped", "output") == written(three.output)
    fill(driver, "X", "1 0 0 0 0 0\n0 1 0 0 0 0")
    wait_until(driver, "return last.given.output.length === 2")
    small = hw.multi_head_attention(**(arrays | {"X": np.eye(6)[:2]}), heads=3)
    assert cells(driver, "given", "output") == written(small.output)


@pytest.mark.exhaustive
def test_the_steps_of_attention_with_a_causal_mask_and_matrices_in_out(page):
    from selenium.webdriver.support.ui import Select

    driver = page("coursework")
    wait_until(driver, "return document.querySelectorAll('.results table').length === 2 * 7")
    driver.find_element("name", "causal").click()
    Select(driver.find_element("name", "layout")).select_by_value("in, out")
    wait_until(
        driver, "return last.causal && form.elements.layout.value === 'in, out' && !document.querySelector('.stale')"
    )
    x, w = coursework_arrays()["X"], coursework_arrays()
    q, k, v = (x @ w[name] for name in ("Wq", "Wk", "Wv"))
    wait_until(driver, "return last.given.queries[0][0][0] === arguments[0]", int(np.rint(q[0, 0] * 1e4)))
    logits = np.where(np.tri(5, dtype=bool), q @ k.T / np.sqrt(6), np.nan)
    shares = np.exp(np.nan_to_num(logits, nan=-np.inf))
    weights = shares / shares.sum(axis=1, keepdims=True)
    for step, expected in {"queries": q, "keys": k, "values": v, "logits": logits, "weights": weights}.items():
        assert cells(driver, "given", step) == written(expected), step
    assert cells(driver, "given", "by_head") == cells(driver, "given", "output") == written(weights @ v)
    assert "do not give swapped outputs" in texts(driver, ".status")[0]
    driver.find_element("css selector", ".given table[data-step=weights] tr:nth-child(5) td:nth-child(3)").click()
    made = texts(driver, ".given .made")[0]
    assert f"= {logits[2, 1]:.4f}; the softmax of row 2 makes it {weights[2, 1]:.4f}" in made
    marked = driver.execute_script("return [...document.querySelectorAll('.given tr.selected')].length")
    assert marked == 7  # of Q, K, V, logits, weights, weights times V, output
    driver.find_element("css selector", ".given table[data-step=weights] tr:nth-child(5) td:nth-child(3)").click()
    assert texts(driver, ".given .made") == [""]


@pytest.mark.sampled
@pytest.mark.parametrize(
    "text", ["1 2;3 4", "[[1,2],[3,4]]", "[[1, 2],\n [3, 4]]", "[\n[1,2],\n[3,4]\n]", "1,2\n\n3 4\n"]
)
def test_as_many_inputs_to_swap_as_the_server_reads_rows(page, text):
    driver = page("coursework")
    wait_until(driver, "return document.querySelectorAll('.results table').length === 2 * 7")
    script = """
        for (const [name, text] of Object.entries(arguments[0])) form.elements[name].value = text;
        return ask().then(() => ["first", "second"].map((name) => [...form.elements[name].options].map((o) => o.value)))
    """
    arrays = dict.fromkeys(("Wq", "Wk", "Wv"), "1 0\n0 1")
    assert driver.execute_script(script, arrays | {"X": ""}) == [[], []]
    assert driver.execute_script(script, arrays | {"X": "1 2"}) == [["0"], ["0"]]
    assert driver.execute_script(script, arrays | {"X": text}) == [["0", "1"], ["0", "1"]]
    assert driver.execute_script("return last.swap") == [0, 1]
    console_messages(driver)  # of the two questions that were refused


def test_an_error_is_next_to_its_field(pages):
    driver, where = pages
    set_viewport(driver, 1280)
    open_page(driver, where + "coursework")
    wait_until(driver, "return document.querySelectorAll('.results table').length === 2 * 7")
    area = driver.find_element("name", "Wk")
    area.send_keys("\n1 2 3")
    wait_until(driver, "return document.getElementById('Wk-error').textContent")
    assert texts(driver, "#Wk-error") == ["Wk: row 7 has 3 numbers, row 1 has 6."]
    assert area.get_attribute("aria-invalid") == "true"
    driver.find_element("css selector", ".load").click()
    wait_until(driver, "return !document.getElementById('Wk-error').textContent")
    assert area.get_attribute("aria-invalid") is None
    assert all("422" in message for message in console_messages(driver))  # the browser itself notes a refused request


@pytest.mark.sampled
@pytest.mark.parametrize("path", ["", "coursework"])
def test_the_pages_fit_in_light_and_dark(page, path):
    driver = page(path)
    if path:
        wait_until(driver, "return document.querySelectorAll('.results table').length")
    else:
        driver.find_elements("css selector", ".examples button")[8].click()
        answered(driver)
    for width, dark in itertools.product([390, 1280], [False, True]):
        set_viewport(driver, width, dark=dark)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), (width, dark)
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") != dark


# ---- texts and images


@pytest.fixture(scope="module")
def readers(driver, tmp_path_factory):
    """(driver, address) of a browser at a server of two models of texts and one of images."""
    folder = tmp_path_factory.mktemp("models")
    models = [
        write_text_model(folder / "pets"),
        write_text_model(folder / "others", random_tensors("bert", seed=5)),
        write_image_model(folder / "patches"),
    ]
    words = [word for model in models for word in ("--model", str(model))]
    with run_server(*words) as (_, where):
        yield driver, where


def model_texts(driver, selector):
    script = "return [...document.querySelectorAll('.model')].map((m) => m.querySelector(arguments[0]).textContent)"
    return driver.execute_script(script, selector)


def explained(driver, *indices):
    """Wait until these models have answered, their maps are drawn, and the explorer shows all of them."""
    script = """return arguments[0].every((i) => {
        const column = columns[i], hint = column.article.querySelector(".dependence + .hint").textContent;
        return column.answer && hint && hint !== "Computing …";
    }) && document.querySelectorAll("#explorer .panel .readout").length === arguments[0].length"""
    wait_until(driver, script, list(indices))


@pytest.mark.exhaustive
def test_a_text_goes_to_its_models_side_by_side_and_clears(readers):
    from selenium.webdriver.common.keys import Keys

    driver, where = readers
    set_viewport(driver, 1280)
    open_page(driver, where)
    area = driver.find_element("name", "text")
    area.clear()
    area.send_keys("the cat sat.", Keys.ENTER)
    explained(driver, 0, 1)
    first, second, image = model_texts(driver, ".prediction")
    assert first != second
    assert image == ""
    words = ["[CLS]", "the", "cat", "sat", ".", "[SEP]"]
    assert texts(driver, ".model[data-model=pets] .dependence .piece") == words
    shades = driver.execute_script(
        "return [...document.querySelectorAll('.dependence .piece')].map((piece) => piece.style.background)"
    )
    assert {shades[0], shades[5]} == {"rgb(255, 255, 255)"}  # special tokens
    assert len(set(shades)) > 2
    assert texts(driver, "#explorer .name") == ["pets", "others"]
    tokens = driver.find_elements("css selector", "#explorer .panel:first-child .piece")
    assert [token.text for token in tokens] == words
    tokens[2].click()
    assert texts(driver, "#explorer .panel .piece.from") == ["cat", "cat"]
    assert all(readout.startswith("“cat” (2)") for readout in texts(driver, "#explorer .panel .readout"))
    assert "others" in texts(driver, "#explorer .difference .hint")[0]
    area.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    wait_until(driver, "return columns[0].article.querySelector('.answer').hidden")
    assert model_texts(driver, ".status")[:2] == ["Write a text and run it."] * 2
    assert not driver.find_element("id", "explorer").is_displayed()
    assert console_messages(driver) == []


def test_an_image_is_shown_under_its_attention_and_clears(readers, tmp_path):
    driver, where = readers
    open_page(driver, where)
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (1200, 1800, 3), np.uint8)).save(tmp_path / "large.png")
    driver.find_element("css selector", "input[type=file]").send_keys(str(tmp_path / "large.png"))
    explained(driver, 2)
    assert len(driver.find_elements("css selector", ".model[data-model=patches] .dependence .cell")) == 4
    assert driver.execute_script("return document.querySelector('.dependence img').naturalWidth") == 10
    driver.find_element("css selector", "#explorer .chip").click()
    assert "on the class token" in texts(driver, "#explorer .readout")[0]
    driver.find_element("css selector", "form.image .clear").click()
    assert driver.execute_script("return columns[2].article.querySelector('.answer').hidden")
    (tmp_path / "odd.png").write_bytes(b"no image")
    driver.find_element("css selector", "input[type=file]").send_keys(str(tmp_path / "odd.png"))
    wait_until(driver, "return document.querySelector('.status.wrong')")
    assert model_texts(driver, ".status")[2] == "This is not an image that the browser can read."
    assert console_messages(driver) == []


@pytest.mark.exhaustive
def test_the_page_of_inputs_fits(readers):
    driver, where = readers
    open_page(driver, where)
    driver.execute_script("sendText()")
    explained(driver, 0, 1)
    for width, dark in itertools.product([390, 1280], [False, True]):
        set_viewport(driver, width, dark=dark)
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), (width, dark)
    set_viewport(driver, 1280)
