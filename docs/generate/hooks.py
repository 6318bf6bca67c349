"""MkDocs hooks: add the pages that are generated from the code, and make the site independent of the network."""

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

from api import api_pages
from commands import commands_page
from families import families_page
from gallery import gallery_pages
from notebooks import notebook_page

ROOT = Path(__file__).parents[2]
PROJECT_PAGES = {
    "CONTRIBUTING.md": "project/contributing.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
}
OTHER_PAGES = {"README.md": "index.md"}  # pages of the repository that the site replaces
EXTERNAL = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//|<link[^>]*rel=["']?(?:stylesheet|preconnect)["']?[^>]*href=["']?(?:https?:)?//"""
)


def on_config(config):
    """List the API's pages in the navigation."""
    for section in config.nav:
        for entry in section.get("Reference", []):
            if "API" in entry:
                entry["API"] = sorted(api_pages())
    return config


def on_files(files, config):
    """Add the generated pages: reference, gallery, tutorials and those of the repository's root."""
    pages = api_pages() | gallery_pages()
    pages |= {"reference/commands.md": commands_page(), "reference/model-families.md": families_page()}
    for name, page in PROJECT_PAGES.items():
        pages[page] = (ROOT / name).read_text(encoding="utf-8")
    added = [File.generated(config, path, content=content) for path, content in pages.items()]
    for file in files:
        if file.src_uri.endswith(".ipynb"):
            page = file.src_uri.replace(".ipynb", ".md")
            added.append(File.generated(config, page, content=notebook_page(Path(file.abs_src_path))))
    return Files([*files, *added])


def on_page_markdown(markdown, page, config, files):
    """Highlight sessions as such, and direct links to files of the repository to their pages."""
    source = {site: name for name, site in PROJECT_PAGES.items()}.get(page.file.src_uri)
    markdown = re.sub(r"```python\n(?=>>>)", "```pycon\n", markdown)
    return re.sub(
        r"(?<=\]\()([^)#:\s]+)((?:#[^)]*)?\))", lambda link: _target(link[1], page, source, files) + link[2], markdown
    )


def on_page_content(content, page, config, files):
    """Formulae as MathML, which browsers draw by themselves."""
    return re.sub(
        r'<(span|div) class="arithmatex">(?:\\\(|\\\[)(.*?)(?:\\\)|\\\])</\1>',
        lambda m: convert(html.unescape(m[2]).strip(), display="inline" if m[1] == "span" else "block"),
        content,
        flags=re.DOTALL,
    )


def on_post_build(config):
    """Stop if a page would load something from another machine."""
    for path in Path(config.site_dir).rglob("*.html"):
        if found := EXTERNAL.search(path.read_text(encoding="utf-8")):
            raise SystemExit(f"{path}: loads from elsewhere: {found[0]}")


def _target(link, page, source, files):
    """Where a relative link of a page leads on the site."""
    folder = "" if source else posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    path = posixpath.normpath(posixpath.join(folder, link))  # in the repository
    if link.endswith(".ipynb") and "/" in link:  # a tutorial; the page's own notebook is for download
        return link.replace(".ipynb", ".md")
    site = PROJECT_PAGES.get(path) or OTHER_PAGES.get(path)
    if site is None and source and path.startswith("docs/"):
        site = path.removeprefix("docs/")
    return link if site is None else posixpath.relpath(site, posixpath.dirname(page.file.src_uri) or ".")
