"""The explorer in a browser: texts, photographs, series, long inputs, two inputs side by side, files of its parts."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from headwise.explanation import Explorer, ExplorerInput, TokenLayout, from_arrays, merge_pieces
from headwise.explanation.explorer.comparison import find_differences
from headwise.figures import AttentionRecord
from helpers.browser import console_messages, open_page, reload_page, requested_hosts, set_viewport, wait_for

pytestmark = pytest.mark.xdist_group("browser")
NONE = np.zeros(0, np.float32)
TEXT = "The cats sat."
SPANS = np.array([[0, 3], [4, 7], [7, 8], [9, 12], [12, 13]])


def weights_of(*shape, seed=0, sharpness=0.3):
    return np.random.default_rng(seed).dirichlet(np.full(shape[-1], sharpness), shape[:-1]).astype(np.float32)


def text_record(seed=0):
    """A text with a word in two pieces; head 1.1 attends to the token before."""
    weights = weights_of(2, 3, 7, 7, seed=seed)
    weights[1, 1] = 0.9 * np.eye(7, k=-1) + 0.1 / 7
    weights[1, 1, 0, 0] += 0.9
    prefix = np.array([1, 0, 0, 0, 0, 0, 1], bool)
    words = ("[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]")
    return AttentionRecord(
        np.zeros((0, 0), np.float32), SPANS, weights, NONE, kind="text", prefix=prefix, words=words, text=TEXT
    )


def long_record(tokens):
    return from_arrays(
        {"weights": weights_of(2, 2, tokens, tokens, sharpness=0.05)},
        TokenLayout(words=tuple(f"w{i}" for i in range(tokens))),
    )


def photograph():
    rng = np.random.default_rng(1)
    boxes = np.stack([*(10 * a.ravel() for a in np.indices((3, 4))), *np.full((2, 12), 10)], axis=1)
    names = ("[CLS]", "[REG1]", *(f"{r},{c}" for r in range(1, 4) for c in range(1, 5)))
    prefix = np.arange(14) < 2
    image = rng.uniform(size=(30, 40, 3)).astype(np.float32)
    return AttentionRecord(image, boxes, weights_of(2, 3, 14, 14), NONE, prefix=prefix, words=names)


@pytest.fixture
def page(driver, tmp_path):
    """Opens a page of records from a file; afterwards the console must be empty and nothing requested."""
    set_viewport(driver, 1280)
    console_messages(driver), requested_hosts(driver)

    def opened(*records, view=""):
        inputs = tuple(ExplorerInput(record, f"input {i}") for i, record in enumerate(records))
        Explorer("A page", inputs).save(tmp_path / "page.html")
        open_page(driver, f"{(tmp_path / 'page.html').as_uri()}{view}")
        wait_for(driver, ".explorer .readout")
        return driver

    yield opened
    assert console_messages(driver) == []
    assert requested_hosts(driver) == set()


def texts(driver, selector):
    return [element.text for element in driver.find_elements("css selector", selector)]


def row(driver):
    script = "return [...document.querySelectorAll('.listed td')].slice(1).map(cell => Number(cell.textContent))"
    return driver.execute_script(script)


def fits(driver):
    return driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")


# ---- texts


def test_a_text_is_shown_in_its_words(page):
    record = text_record()
    driver = page(record)
    assert texts(driver, ".piece") == ["[CLS]", "The", "cat", "s", "sat", ".", "[SEP]"]
    assert driver.execute_script("return document.querySelector('.flow').textContent") == "[CLS] The cats sat. [SEP]"
    assert driver.execute_script("return document.querySelector('.heads input:checked').value") == "1.1"
    driver.find_element("css selector", ".piece[data-key='4']").click()
    np.testing.assert_allclose(row(driver), record.weights[1, 1, 4], atol=5.01e-4)
    driver.find_element("css selector", ".piece[data-key='3']").click()
    assert texts(driver, ".readout") == [f"“sat” (4): weight {record.weights[1, 1, 4, 3]:.3f} on “##s” (3)."]
    assert driver.find_element("css selector", ".piece.from").text == "sat"
    shades = driver.execute_script(
        "return [...document.querySelectorAll('.piece')]"
        ".map(e => Number(getComputedStyle(e).backgroundColor.match(/\\d+/)[0]))"
    )
    assert np.argmin(shades) == record.weights[1, 1, 4].argmax() == 3


@pytest.mark.exhaustive
def test_arrow_keys_walk_over_words_and_lines(page):
    from selenium.webdriver.common.keys import Keys

    driver = page(long_record(100), view="#view=0.1&from=0")
    tokens = driver.find_element("css selector", ".tokens")
    tokens.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert texts(driver, ".piece.from") == ["w2"]
    tokens.send_keys(Keys.ARROW_DOWN)
    left = "return document.querySelector('.piece.from').getBoundingClientRect().left"
    below = driver.find_element("css selector", ".piece.from")
    assert int(below.text[1:]) > 5
    assert abs(driver.execute_script(left) - driver.find_element("css selector", ".piece[data-key='2']").rect["x"]) < 40
    tokens.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ENTER, Keys.ARROW_RIGHT)
    assert texts(driver, ".piece.from") + texts(driver, ".piece.to") == ["w1", "w2"]
    tokens.send_keys(Keys.ESCAPE, Keys.END)
    assert texts(driver, ".piece.from") == ["w99"]


def test_pieces_of_words_can_be_merged(page):
    record = text_record()
    driver = page(record, view="#view=0.2&from=2")
    driver.find_element("css selector", ".merge input").click()
    assert texts(driver, ".piece") == ["[CLS]", "The", "cats", "sat", ".", "[SEP]"]
    driver.find_element("css selector", ".piece[data-key='2']").click()
    np.testing.assert_allclose(row(driver), merge_pieces(record).weights[0, 2, 2], atol=5.01e-4)
    assert "merged=1" in driver.current_url
    reload_page(driver)
    wait_for(driver, ".explorer .readout")
    assert len(texts(driver, ".piece")) == 6


def test_heads_are_filtered_by_role(page):
    weights = weights_of(2, 3, 23, 23, sharpness=5)
    weights[1, 1] = 0.9 * np.eye(23, k=-1) + 0.1 / 23
    weights[1, 1, 0, 0] += 0.9
    record = from_arrays({"weights": weights}, TokenLayout(words=tuple(f"w{i}" for i in range(23))))
    driver = page(record, view="#view=0.0")
    chip = driver.find_element("css selector", ".roles button[value=previous]")
    chip.click()
    assert chip.get_attribute("aria-pressed") == "true"
    enabled = driver.execute_script("return [...document.querySelectorAll('.heads input:enabled')].map(e => e.value)")
    assert enabled == ["1.1"]
    assert "view=1.1" in driver.current_url
    driver.find_elements("css selector", ".roles button")[0].click()
    assert len(driver.find_elements("css selector", ".heads input:enabled")) == 2 * 4 + 2


@pytest.mark.exhaustive
def test_a_token_is_found_by_its_text(page):
    from selenium.webdriver.common.keys import Keys

    driver = page(long_record(500))
    assert len(texts(driver, ".piece")) == 240
    driver.find_element("css selector", "input[type=search]").send_keys("w471", Keys.ENTER)
    assert texts(driver, ".piece.from") == ["w471"]
    assert texts(driver, ".readout")[0].startswith("“w471” (472) attends most to")
    assert "of 500, keys" in texts(driver, ".part-of-matrix")[0]
    first, last = (int(n) for n in driver.execute_script(
        "return document.querySelector('.part span').textContent.match(/\\d+/g).slice(0, 2)"
    ))  # fmt: skip
    assert first <= 472 <= last
    driver.find_elements("css selector", ".part button")[0].click()
    assert "w471" not in texts(driver, ".piece")


@pytest.mark.exhaustive
def test_weights_that_are_left_out_are_stated(page, monkeypatch):
    monkeypatch.setattr("headwise.explanation.explorer.explorer._MAX_PAGE", 40_000)
    record = long_record(200)
    driver = page(record)
    stated = [text for text in texts(driver, ".hint") if text.startswith("To keep the page small")]
    least = float(stated[0].split("below ")[1].split(" ")[0])
    assert least > 0.001
    view, n = driver.execute_script(
        "return [document.querySelector('.heads input:checked').value, "
        "[...document.querySelectorAll('.piece')].findIndex(e => e.matches('.from'))]"
    )
    layer, head = map(int, view.split("."))
    driver.execute_script("document.querySelector('.listed').open = true")
    wait_for(driver, ".listed td:nth-child(2)")
    shown = texts(driver, ".listed tbody td")
    exact = record.weights[layer, head, n]
    for text, weight in zip(shown, exact, strict=True):
        assert weight < least + 5.01e-4 if text.startswith("below") else abs(float(text) - weight) < 5.01e-4


# ---- lines between words


def line_ends(driver):
    """(word on the left, word on the right, opacity) of each line."""
    return driver.execute_script("""
        const texts = [...document.querySelectorAll(".lines text")];
        const word = (anchor, y) => texts.find((t) => t.getAttribute("text-anchor") === anchor
            && Math.abs(t.getAttribute("y") - y) < .01).textContent;
        return [...document.querySelectorAll(".lines line")].map((l) => [
            word("end", l.getAttribute("y1")), word("start", l.getAttribute("y2")),
            Number(l.getAttribute("stroke-opacity")),
        ])""")


def test_lines_between_words_are_as_dark_as_their_weights(page):
    record = text_record()
    driver = page(record, view="#view=0.2&from=2")
    driver.find_element("css selector", ".drawing [value=lines]").click()
    assert not driver.find_element("css selector", ".matrix .square").is_displayed()
    ends = {(left, right): opacity for left, right, opacity in line_ends(driver)}
    matrix = record.weights[0, 2]
    expected = {(n, m) for n, m in np.ndindex(7, 7) if matrix[n, m] >= 0.05}
    assert ends.keys() == {(record.words[n], record.words[m]) for n, m in expected}
    for n, m in expected:
        assert ends[record.words[n], record.words[m]] == pytest.approx(np.sqrt(matrix[n, m]), abs=0.01)
    driver.find_elements("css selector", ".lines text")[4].click()
    assert texts(driver, ".piece.from") == ["sat"]
    root = ET.fromstring(driver.execute_script("return Headwise.toSvg(document.querySelector('.matrix'))"))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == len(expected)


@pytest.mark.exhaustive
def test_of_many_tokens_the_strongest_lines_of_one_are_drawn(page):
    record = long_record(128)
    driver = page(record, view="#view=1.0&from=90")
    driver.find_element("css selector", ".drawing [value=lines]").click()
    ends = line_ends(driver)
    largest = sorted(np.argsort(-record.weights[1, 0, 90])[: len(ends)])
    assert 5 < len(ends) <= 12
    assert {left for left, _, _ in ends} == {"“w90” (91)"}
    assert [right.split(":")[0] for _, right, _ in ends] == [f"“w{m}” ({m + 1})" for m in largest]
    size = "const svg = document.querySelector('.lines'); return parseFloat(getComputedStyle(svg).fontSize) * "
    size += "svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    assert driver.execute_script(size) > 10


# ---- other kinds


def test_a_photograph_with_registers(page):
    record = photograph()
    driver = page(record, view="#view=1.2&from=0")
    assert [text.split("0.")[0].strip() for text in texts(driver, ".chip")] == ["class token", "[REG1]"]
    assert driver.execute_script("return document.querySelector('.photograph img').naturalWidth") == 40
    driver.find_elements("css selector", ".chip")[1].click()
    np.testing.assert_allclose(row(driver), record.weights[1, 2, 1], atol=5.01e-4)
    from selenium.webdriver.common.keys import Keys

    tokens = driver.find_element("css selector", ".tokens")
    tokens.send_keys(Keys.ESCAPE, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)  # first patch, then the one below
    assert texts(driver, ".readout")[0].startswith("Token 5 (row 2, column 1)")


def test_a_series_is_drawn_as_curves(page):
    values = np.sin(np.linspace(0, 9, 30))[:, None].astype(np.float32) * [[1, 2]]
    spans = np.stack([np.arange(0, 30, 5), np.arange(5, 31, 5)], axis=1)
    record = AttentionRecord(values.astype(np.float32), spans, weights_of(2, 2, 6, 6), NONE, kind="series")
    driver = page(record, view="#view=0.1&from=0")
    assert len(driver.find_elements("css selector", ".series polyline")) == 2
    driver.find_elements("css selector", ".strip .cell")[3].click()
    np.testing.assert_allclose(row(driver), record.weights[0, 1, 3], atol=5.01e-4)


def test_many_variables_are_a_heat_map(page):
    values = np.random.default_rng(2).uniform(size=(60, 19)).astype(np.float32)
    spans = np.stack([np.arange(0, 60, 2), np.arange(2, 61, 2)], axis=1)
    queries = ("1", "2", "3")
    record = AttentionRecord(values, spans, weights_of(1, 2, 3, 30), NONE, kind="series", query_words=queries)
    driver = page(record)
    assert not driver.find_elements("css selector", ".series polyline")
    script = "const c = document.querySelector('.variables'); return [c.width, c.height, c.clientHeight, "
    script += "c.getContext('2d').getImageData(0, c.height - 1, 2, 1).data[4]]"
    width, height, seen, level = driver.execute_script(script)
    scaled = (values[:, 0] - values[:, 0].min()) / np.ptp(values[:, 0])
    assert (width, height) == (60, 19)
    assert seen > 100
    assert level == pytest.approx(255 * (1 - scaled[1]), abs=2)
    assert driver.find_element("css selector", ".square").size["height"] > 60


def test_cross_attention_has_a_list_of_queries(page):
    from selenium.webdriver.support.ui import Select

    weights = weights_of(2, 3, 5, 7)
    arrays = {"weights": weights, "queries": np.array(["le", "chat", "dort", "ici", "."])}
    words = ("the", "cat", "is", "sleeping", "here", "now", ".")
    driver = page(from_arrays(arrays, TokenLayout(words=words)), view="#view=1.0")
    Select(driver.find_element("css selector", ".seen .queries select")).select_by_index(3)
    np.testing.assert_allclose(row(driver), weights[1, 0, 3], atol=5.01e-4)
    driver.find_element("css selector", ".piece[data-key='4']").click()
    assert texts(driver, ".readout") == [f"Query “ici”: weight {weights[1, 0, 3, 4]:.3f} on “here” (5)."]


@pytest.mark.exhaustive
def test_many_heads_fit_the_window(page):
    weights = weights_of(32, 32, 5, 5)
    driver = page(from_arrays({"weights": weights}, TokenLayout(words=tuple("abcde"))))
    assert len(driver.find_elements("css selector", ".heads input")) == 32 * 33 + 2
    assert fits(driver)
    set_viewport(driver, 390)
    assert fits(driver)


# ---- two inputs


def test_two_inputs_are_side_by_side_with_a_tested_difference(page):
    a, b = text_record(0), text_record(7)
    driver = page(a, b)
    assert len(driver.find_elements("css selector", ".panel")) == 2
    assert "pairs of heads" in texts(driver, ".comparison .hint")[0]
    assert len(driver.find_elements("css selector", ".comparison tbody tr")) == 4
    driver.find_element("css selector", ".panel:nth-child(1) label[data-choice='0.2'] input").click()
    checked = "return [...document.querySelectorAll('.heads input:checked')].map(e => e.value)"
    assert driver.execute_script(checked) == ["0.2", "0.2"]
    driver.find_element("css selector", ".panel:nth-child(2) .piece[data-key='3']").click()
    assert texts(driver, ".panel .piece.from") == ["s", "s"]
    for record, sentence in zip((a, b), texts(driver, ".panel .readout"), strict=True):
        assert f"weight {record.weights[0, 2, 3, 3]:.3f}" in sentence
    set_viewport(driver, 390)
    assert fits(driver)


@pytest.mark.exhaustive
def test_the_difference_of_two_inputs_is_a_map(page):
    from selenium.webdriver import ActionChains

    a, b = text_record(0), text_record(7)
    b = replace(b, weights=b.weights.copy())
    b.weights[:, :, 5] = 0.05 * b.weights[:, :, 5] + 0.95 * (np.arange(7) == 2)  # in every head
    driver = page(a, b, view="#view=mean&from=5&with=1")
    row = (b.weights - a.weights).mean(axis=(0, 1))[5]
    (readout,) = texts(driver, ".difference .readout")
    first, second, difference = re.findall(r"[+−]?0\.\d{3}", readout)
    means = [float(record.weights[:, :, 5, 2].mean()) for record in (a, b)]
    np.testing.assert_allclose([float(first), float(second)], means, atol=5.01e-4)
    assert float(difference) == pytest.approx(means[1] - means[0], abs=1.01e-3)
    assert "“.” (5)" in readout
    assert "significant" in readout
    red, blue = (driver.execute_script(
        "return [...document.querySelectorAll('.difference .piece')]"
        ".map(e => Number(getComputedStyle(e).backgroundColor.match(/\\d+/g)[arguments[0]]))", i
    ) for i in (0, 2))  # fmt: skip
    assert all(r >= b for r, b, d in zip(red, blue, row, strict=True) if d < -0.01)
    assert all(r <= b for r, b, d in zip(red, blue, row, strict=True) if d > 0.01)
    dark = "const c = document.querySelector('.difference .dots'); const [u, v] = [c.width / 7, c.height / 7];"
    dark += "const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height); return [...Array(49).keys()]"
    dark += ".filter(i => data[4 * (Math.floor((Math.floor(i / 7) + .5) * v) * c.width + Math.floor((i % 7 + .5) * u))"
    dark += " + 3])"
    cells = np.cumsum(find_differences(a, b)["of_means"]["mean"]).tolist()
    assert driver.execute_script(dark) == cells
    assert 5 * 7 + 2 in cells
    assert "mean difference over the heads" in texts(driver, ".difference .tested")[0]
    driver.find_element("css selector", ".panel label[data-choice='1.0'] input").click()
    assert "mean over queries" in texts(driver, ".difference .tested")[0]
    driver.find_element("css selector", ".panel label[data-choice='rollout'] input").click()
    assert "not tested" in texts(driver, ".difference .tested")[0]
    square = driver.find_element("css selector", ".difference .square")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", square)
    ActionChains(driver, duration=0).move_to_element_with_offset(square, 1, 1).click().perform()
    assert texts(driver, ".panel .piece.from") == texts(driver, ".panel .piece.to") == ["s", "s"]
    driver.find_element("css selector", ".merge input").click()
    assert len(texts(driver, ".difference .piece")) == 6
    set_viewport(driver, 390)
    assert fits(driver)


@pytest.mark.exhaustive
def test_one_word_may_differ_between_two_inputs(page):
    a, b = text_record(0), text_record(7)
    words = ("[CLS]", "the", "dog", "##s", "sat", ".", "[SEP]")
    driver = page(a, replace(b, words=words, text=TEXT.replace("cat", "dog")))
    assert texts(driver, ".difference .piece")[2] == "cat / dog"
    driver = page(a, replace(b, words=tuple("abcdefg")))
    assert not driver.find_elements("css selector", ".difference")


@pytest.mark.exhaustive
def test_one_of_several_inputs_is_compared_on_demand(page):
    from selenium.webdriver.support.ui import Select

    driver = page(text_record(0), text_record(3), photograph())
    assert len(driver.find_elements("css selector", ".panel")) == 1
    Select(driver.find_element("css selector", ".with select")).select_by_visible_text("input 2")
    assert len(driver.find_elements("css selector", ".panel")) == 2
    assert "with=2" in driver.current_url
    reload_page(driver)
    wait_for(driver, ".explorer .readout")
    assert len(driver.find_elements("css selector", ".panel")) == 2
    Select(driver.find_element("css selector", ".with select")).select_by_visible_text("nothing")
    assert len(driver.find_elements("css selector", ".panel")) == 1


# ---- files of its parts


@pytest.mark.parametrize("record", [text_record(), photograph()], ids=["text", "photograph"])
def test_every_part_is_saved_as_svg(page, record):
    driver = page(record)
    for part in (".heads", ".seen", ".matrix"):
        assert driver.find_elements("css selector", f"{part} .save")
        root = ET.fromstring(driver.execute_script("return Headwise.toSvg(document.querySelector(arguments[0]))", part))
        names = [element.tag.split("}")[1] for element in root.iter()]
        assert names.count("text") > 3
        assert names.count("rect") > 10
    shown = "".join(root.itertext())
    assert "querytoken" in shown  # words are placed one by one
