from helpers.commands import headwise


def test_a_report_inside_the_class_would_be_a_submission(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    empty = headwise("report", "--solutions", ".")
    assert (empty.returncode, empty.stdout) == (2, "")
    assert "there is none" in empty.stderr
    (tmp_path / "ada.py").write_text("def self_attention(X, Wq, Wk, Wv): ...\n")
    inside = headwise("report", "--solutions", ".", "--out", "report")
    assert (inside.returncode, inside.stdout) == (2, "")
    assert inside.stderr.startswith("headwise: --out:")
    assert [path.name for path in tmp_path.iterdir()] == ["ada.py"]
