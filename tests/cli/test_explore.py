"""The file that ``headwise explore`` writes."""

from helpers.commands import headwise


def test_a_page_without_suffix_is_html(tmp_path):
    result = headwise("explore", "--digits", 1, "--out", "page", folder=tmp_path)
    assert result.returncode == 0
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["page.html"]
    assert result.stdout.startswith("page.html: 1 input")
