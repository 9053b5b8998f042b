"""Adds files outside docs/ to the site: how to contribute, the changes, tables and figures of committed results.

All links are written as they work on a forge. In the site these files stand beside the pages, so that links from a page
lose one `../`, and links to a page lose `docs/`.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "experiments" / "results"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside docs/ under their names in the repository."""
    results = [path for path in sorted(RESULTS.rglob("*")) if path.suffix in {".md", ".png"}]
    for path in [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *results]:
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page with its links as they lead in the site."""
    if Path(page.file.src_dir or "") != ROOT:
        return re.sub(r"\]\(((?:\.\./)*)\.\./(?=CONTRIBUTING|CHANGELOG|experiments/)", r"](\1", markdown)
    if page.file.src_uri.startswith("experiments/"):
        page.meta["search"] = {"exclude": True}  # the pages on the results are found, not their tables
    return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
