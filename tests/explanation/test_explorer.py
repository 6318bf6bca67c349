"""The explorer's page: the library's own numbers, under a megabyte, by pointer and keys, with nothing fetched."""

import base64
import hashlib
import html
import io
import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from headwise.cli.explore import explore as explore_command
from headwise.data.mnist import load_bundled_mnist
from headwise.errors import DataError, ShapeError
from headwise.explanation import Explorer, cycle_classes, explore
from headwise.explanation.explorer import build_views, choose_opening
from headwise.explanation.explorer.fixed_point import MISSING
from headwise.metrics.concentration import drop_class_token, effective_number, entropy
from headwise.metrics.rollout import rollout
from headwise.metrics.spatial import attention_distance, weight_on_foreground
from headwise.models import ViT
from headwise.models.vit import ViTConfig, vit_params
from headwise.text import Statement, as_text
from headwise.train.checkpoint import PRETRAINED, pretrained_vit, save_vit
from helpers.browser import console_messages, open_page, requested_hosts, set_viewport, wait_for
from helpers.commands import headwise

pytestmark = pytest.mark.xdist_group("browser")
DIGITS = 3


@pytest.fixture(scope="module")
def explorer():
    saved, test = pretrained_vit("7x7"), load_bundled_mnist().test
    chosen = cycle_classes(test, DIGITS)
    return explore(saved, *test.images[chosen], labels=test.labels[chosen])


@pytest.fixture
def page(driver, explorer, tmp_path):
    """The page from a file, newly opened."""
    explorer.save(tmp_path / "explorer.html")
    set_viewport(driver, 1280)
    console_messages(driver), requested_hosts(driver)

    def opened(view=""):
        open_page(driver, f"{(tmp_path / 'explorer.html').as_uri()}{view}")
        wait_for(driver, ".explorer .readout")
        return driver

    return opened


def text(driver, selector):
    return driver.find_element("css selector", selector).text


def press(driver, selector, *keys):
    for key in keys:
        driver.find_element("css selector", selector).send_keys(key)


def table(driver):
    script = "return [...document.querySelectorAll('.listed td')].slice(1).map(cell => cell.textContent)"
    return driver.execute_script(script)


# ---- without a browser


@pytest.mark.sampled
@pytest.mark.parametrize("tokens", PRETRAINED)
def test_a_dozen_digits_are_under_a_megabyte(tokens):
    saved, test = pretrained_vit(tokens), load_bundled_mnist().test
    chosen = cycle_classes(test, 12)
    page = explore(saved, *test.images[chosen], labels=test.labels[chosen]).page()
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"""(src|href)=["'](?!data:|\$\{)""", page)  # ${ begins a value in the script


@pytest.mark.parametrize("tokens", PRETRAINED)
def test_each_card_is_of_the_weights_next_to_it(tokens):
    weights = files("headwise.models") / "weights" / f"vit-mnist-{tokens}.safetensors"
    card = (files("headwise.models") / "weights" / pretrained_vit(tokens).metadata["card"]).read_text(encoding="utf-8")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in card
    assert f"**{pretrained_vit(tokens).metadata['n_correct']:,} of the 10,000 test digits of MNIST" in card


def test_views_are_heads_means_and_rollout(rng):
    weights = rng.dirichlet(np.ones(5), (2, 3, 5))
    named = build_views(weights)
    assert list(named) == ["0.0", "0.1", "0.2", "0.mean", "1.0", "1.1", "1.2", "1.mean", "mean", "rollout"]
    np.testing.assert_array_equal(named["1.2"], weights[1, 2])
    np.testing.assert_allclose(named["1.mean"], (weights[1, 0] + weights[1, 1] + weights[1, 2]) / 3)
    np.testing.assert_allclose(named["mean"], weights.reshape(6, 5, 5).sum(0) / 6)
    np.testing.assert_array_equal(named["rollout"], rollout(weights))


def test_measures_are_the_librarys(explorer):
    content, record = explorer.content()["inputs"][1], explorer.records[1]
    weights = record.weights.astype(float)
    kept, _ = drop_class_token(weights)
    rows = {key: np.array(values).reshape(-1, 17) for key, values in content["rows"].items()}
    for layer, head in ((0, 2), (3, 1)):
        view = content["views"].index(f"{layer}.{head}")
        p = weights[layer, head][:, 1:] / weights[layer, head][:, 1:].sum(-1, keepdims=True)
        for n in (0, 7):
            assert rows["entropy"][view, n] == round(100 * float(entropy(p[n])))
            assert rows["effective"][view, n] == round(10 * float(effective_number(p[n])))
            assert rows["ink"][view, n] == round(1000 * float(weight_on_foreground(p[n], record.ink, record.boxes)))
        assert rows["class"][view, 5] == round(1000 * weights[layer, head, 5, 0])
        assert rows["itself"][view, 5] == round(1000 * weights[layer, head, 5, 5])
        assert rows["distance"][view, 0] == MISSING
        far = float(attention_distance(kept[layer, head], record.boxes))
        assert content["means"]["distance"][view] == round(10 * far)
        assert f"distance of {far:.1f} pixels" in content["descriptions"][view]


@pytest.mark.parametrize("tokens", ["8x8/4", "columns", "scrambled-14x7"])
def test_any_tokens(tokens, rng):
    model = ViTConfig(tokenizer=tokens, d_model=12, n_layers=2, n_heads=3, d_ff=8)
    images = load_bundled_mnist().test.images[:2]
    content = explore(ViT(model, vit_params(model, rng)), *images).content()["inputs"][1]
    assert len(content["boxes"]) == model.image_tokenizer.num_tokens
    np.testing.assert_allclose(picture(content) / 255, model.image_tokenizer.permute(images)[1], atol=2e-3)


def picture(content):
    """The pixels of an input's picture."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content["picture"].split(",")[1]))))


def test_an_image_without_ink_has_no_share_on_ink(rng):
    model = ViTConfig(tokenizer="14x14", d_model=6, n_layers=1, n_heads=2, d_ff=4)
    blank = np.zeros((28, 28), np.float32)
    content = explore(ViT(model, vit_params(model, rng)), blank).content()["inputs"][0]
    assert set(content["rows"]["ink"]) == {MISSING}
    assert "ink" not in content["descriptions"][0]


def test_what_cannot_be_explored_is_refused(rng):
    model = ViTConfig(tokenizer="14x14", d_model=6, n_layers=1, n_heads=2, d_ff=4)
    vit, image = ViT(model, vit_params(model, rng)), np.zeros((28, 28), np.float32)
    for images, labels, error in (
        ([image[:27]], None, ShapeError), ([], None, DataError), ([image, image], [1], DataError),
    ):  # fmt: skip
        with pytest.raises(error):
            explore(vit, *images, labels=labels)
    with pytest.raises(DataError, match="inputs: expected at least one; got none"):
        Explorer("", ())
    with pytest.raises(DataError, match="digits: expected 1 to 500; got 501"):
        cycle_classes(load_bundled_mnist().test, 501)
    with pytest.raises(DataError, match="one of 7x7, 4x4, rows"):
        pretrained_vit("5x5")


def test_in_a_notebook_it_is_the_same_page(explorer):
    shown = explorer._repr_html_()
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1]) == explorer.page()
    assert ".save(path)" in re.sub("<iframe.*</iframe>", "", shown)  # what an untrusted notebook shows


def test_the_command_writes_a_page(tmp_path, rng):
    model = ViTConfig(tokenizer="14x14", d_model=6, n_layers=1, n_heads=2, d_ff=4)
    save_vit(tmp_path / "mine.safetensors", model, vit_params(model, rng), {})
    done = headwise("explore", "--digits", "2", "--model", "mine.safetensors", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "explorer.html: 2 inputs" in done.stdout
    assert done.stderr == ""
    assert (tmp_path / "explorer.html").read_text().startswith("<!DOCTYPE html>")


def test_a_page_that_is_slow_to_open_has_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("headwise.cli.explore._LARGE", 10_000)
    explore_command(digits=2, tokens="rows", out=tmp_path / "a.html")
    shown = " ".join(capsys.readouterr().err.split())
    assert re.search(r"headwise: warning: .*a.html has \d+ kB", shown)


# ---- in the browser


def test_the_numbers_on_the_page_are_the_librarys(page, explorer):
    for digit, view, n in ((0, "0.0", 0), (1, "2.3", 6), (2, "rollout", 16), (1, "mean", 3), (2, "3.mean", 9)):
        driver = page(f"#input={digit}&view={view}&from={n}")
        matrix = build_views(explorer.records[digit].weights.astype(float))[view]
        assert table(driver) == [f"{value:.3f}" for value in matrix[n]]
        p = matrix[n, 1:] / matrix[n, 1:].sum()
        assert text(driver, "[data-measure=entropy] .row") == f"{entropy(p):.2f}"
        assert text(driver, "[data-measure=effective] .row") == f"{effective_number(p):.1f}"
        assert text(driver, "[data-measure=class] .row") == f"{matrix[n, 0]:.1%}"
        probabilities = explorer.records[digit].probabilities
        read = int(probabilities.argmax())
        share = as_text(Statement("{p:.1%}", {"p": float(probabilities[read])}))
        assert text(driver, ".verdict").startswith(f"Predicted: {read} ({share})")
        assert f"{max(matrix[n]):.3f}" in text(driver, ".readout")
    assert console_messages(driver) == []
    assert requested_hosts(driver) == set()


def test_colours_are_of_the_token_they_lie_on(page, explorer):
    """The canvas is read back: the darkest pixel lies in the box of the largest weight."""
    driver = page("#input=1&view=1.1&from=0")
    at = driver.execute_script(
        "const c = document.querySelector('.image canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return arguments[0].map(([t, l, h, w]) => {"
        " const y = Math.floor((t + 0.2) * c.height / 28), x = Math.floor((l + 0.2) * c.width / 28);"
        " return d[4 * (y * c.width + x)]; })",
        explorer.records[1].boxes.tolist(),
    )
    row = explorer.records[1].weights[1, 1, 0, 1:]
    assert np.argmin(at) == np.argmax(row)
    assert all(at[i] < at[j] for i in range(16) for j in range(16) if row[i] > row[j] + 0.02)


def test_arrow_keys_walk_over_tokens(page, explorer):
    from selenium.webdriver.common.keys import Keys

    driver = page("#input=0&view=0.1&from=0")
    matrix = explorer.records[0].weights[0, 1]
    press(driver, ".tokens", Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)  # class token, 1, 2, 6
    assert text(driver, ".readout").startswith("Token 6 (row 2, column 2) attends most to")
    assert table(driver) == [f"{value:.3f}" for value in matrix[6]]
    press(driver, ".tokens", Keys.ENTER, Keys.ARROW_LEFT)
    sentence = f"Token 6 (row 2, column 2): weight {matrix[6, 5]:.3f} on token 5 (row 2, column 1)."
    assert text(driver, ".readout") == sentence
    assert driver.execute_script("return document.querySelector('.live').textContent") == sentence
    assert "from=6&to=5" in driver.current_url
    press(driver, ".tokens", Keys.ESCAPE, Keys.HOME)
    assert "class token" in text(driver, ".readout")
    active = driver.find_element("css selector", ".tokens").get_attribute("aria-activedescendant")
    assert f"class token, {matrix[0, 0]:.3f}" in driver.find_element("id", active).get_attribute("aria-label")
    press(driver, ".square", Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert f"weight {matrix[1, 1]:.3f} on token 1 (row 1, column 1)" in text(driver, ".readout")
    press(driver, ".heads input:checked", Keys.ARROW_RIGHT)  # radio buttons go by arrow keys of their own
    assert "view=0.2" in driver.current_url
    assert console_messages(driver) == []


def test_pointing_at_image_and_matrix_shows_the_same(page, explorer):
    from selenium.webdriver import ActionChains

    driver = page("#input=0&view=1.2&from=0")
    matrix = explorer.records[0].weights[1, 2]
    image = driver.find_element("css selector", ".image")
    width = image.size["width"]
    ActionChains(driver, duration=0).move_to_element_with_offset(image, -width * 3 / 8, width / 8).perform()
    assert table(driver) == [f"{value:.3f}" for value in matrix[9]]  # third row, first column
    square = driver.find_element("css selector", ".square")
    side = square.size["width"]
    cell = side / 17
    to = ActionChains(driver, duration=0).move_to_element_with_offset(square, 2 * cell, -4 * cell)
    to.perform()
    assert text(driver, ".readout").startswith(f"Token 4 (row 1, column 4): weight {matrix[4, 10]:.3f} on token 10")
    assert (
        driver.find_elements("css selector", ".cell.from, .cell.to")[0]
        .get_attribute("aria-label")
        .startswith("token 4")
    )
    to.click().perform()
    assert "from=4&to=10" in driver.current_url


@pytest.mark.sampled
@pytest.mark.parametrize(("width", "dark"), [(390, True), (1280, False)])
def test_it_fits_the_window_in_light_and_dark(page, driver, width, dark):
    page()
    set_viewport(driver, width, dark=dark)
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") != dark
    driver.find_element("css selector", ".theme").click()
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") != paper


@pytest.mark.exhaustive
def test_a_tap_chooses_the_query_token(page, explorer):
    driver = page("#input=0&view=2.2")
    set_viewport(driver, 390)
    driver.execute_script("document.querySelector('.image').scrollIntoView({block: 'center'})")
    frame = driver.execute_script("return document.querySelector('.image').getBoundingClientRect().toJSON()")
    point = {
        "x": frame["x"] + 0.6 * frame["width"],
        "y": frame["y"] + 0.9 * frame["height"],
    }  # fourth row, third column
    for kind, points in (("touchStart", [point]), ("touchEnd", [])):
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    wait_for(driver, ".cell.from")
    assert text(driver, ".readout").startswith("Token 15 (row 4, column 3) attends most to")
    assert table(driver) == [f"{value:.3f}" for value in explorer.records[0].weights[2, 2, 15]]


def test_an_odd_link_opens_the_first_view(page, explorer):
    driver = page("#input=99&view=<b>&from=-1&to=1e3")
    assert "class token attends most" in text(driver, ".readout")
    opened = driver.execute_script("return document.querySelector('.heads input:checked').value")
    assert opened == choose_opening(explorer.records[0]).view
    assert console_messages(driver) == []


POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: https:"
NOTEBOOKS = {  # what surrounds the output of a cell: nothing, a frame that may only run scripts, a policy of the editor
    "plain": ("", ""),
    "sandboxed": ("", "sandbox='allow-scripts'"),
    "editor": (f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">', ""),
}


@pytest.mark.sampled
@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_in_a_notebooks_frame_it_works(driver, explorer, tmp_path, notebook):
    head, attributes = NOTEBOOKS[notebook]
    frame = explorer._repr_html_().replace("<iframe ", f"<iframe {attributes} ")
    (tmp_path / "notebook.html").write_text(f"<!DOCTYPE html>{head}{frame}", encoding="utf-8")
    console_messages(driver)
    open_page(driver, (tmp_path / "notebook.html").as_uri())
    driver.switch_to.frame(driver.find_element("css selector", "iframe"))
    wait_for(driver, ".explorer .readout")
    driver.find_element("css selector", ".chip").click()
    assert "on the class token" in text(driver, ".readout")
    driver.switch_to.default_content()
    assert console_messages(driver) == []


def test_every_control_has_a_name(page):
    driver = page()
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('input, button, [tabindex], [role=option]')].filter(e => "
        "!(e.getAttribute('aria-label') || e.textContent.trim())).map(e => e.outerHTML)"
    )
    assert unnamed == []
