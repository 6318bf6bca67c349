"""Tutorials: notebooks that are saved with their outputs, and shown as pages.

`python docs/generate/notebooks.py` executes them again; tests/test_docs.py compares what they print with what is saved.
"""

import json
import re
from pathlib import Path


def notebook_page(path):
    """Markdown of a notebook with its outputs, and a link to the file."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            parts += [part for output in cell["outputs"] if (part := _output(output))]
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n[Download this notebook]({path.name}){{ .md-button download }}\n{rest}"


def _output(output):
    data = output.get("data", {})
    if "image/png" in data:
        image = "".join(data["image/png"]).replace("\n", "")
        alt = re.sub(r"[<>\n]", "", "".join(data.get("text/plain", "figure")))
        return f"![{alt}](data:image/png;base64,{image})"
    text = "".join(output.get("text") or data.get("text/plain") or "")
    if output.get("name") == "stderr" or not text:
        return None
    return f'<div class="output" markdown>\n\n```text\n{text.rstrip()}\n```\n\n</div>'


def main():
    """Execute the notebooks and save them with their outputs; an error in a cell is an error."""
    import nbformat
    from nbclient import NotebookClient

    for path in sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        folder = {"metadata": {"path": str(path.parent)}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times, which differ from run to run
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
