"""Tutorials: notebooks that are executed, and shown as pages."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path):
    """The notebook, executed in its folder; an error in a cell is an error."""
    notebook = nbformat.read(path, as_version=4)
    environment = {"metadata": {"path": str(path.parent)}}
    return NotebookClient(notebook, timeout=300, kernel_name="python3", resources=environment).execute()


def notebook_page(path):
    """Markdown of an executed notebook, with a link to the file."""
    parts = []
    for cell in execute(path).cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(f"```python\n{cell.source}\n```")
            parts += [part for output in cell.outputs if (part := _output(output))]
    title, _, rest = "\n\n".join(parts).partition("\n")
    return f"{title}\n\n[Download this notebook]({path.name}){{ .md-button download }}\n{rest}"


def _output(output):
    data = output.get("data", {})
    if "image/png" in data:
        image = data["image/png"].replace("\n", "")
        alt = re.sub(r"[<>\n]", "", data.get("text/plain", "figure"))
        return f"![{alt}](data:image/png;base64,{image})"
    text = output.get("text") or data.get("text/plain")
    if output.get("name") == "stderr" or not text:
        return None
    return f'<div class="output" markdown>\n\n```text\n{text.rstrip()}\n```\n\n</div>'


def main():
    """Execute the notebooks and save them with their outputs."""
    for path in sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb")):
        notebook = execute(path)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times, which differ from run to run
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
