"""The notebooks as they are committed, under a line that opens each in Colab."""

from __future__ import annotations

import json

from links import ROOT, file_link, toctree


def notebook_pages() -> dict[str, str]:
    """The notebooks as they are committed, each under a line that opens it in Colab, and the page that lists them."""
    pages, rows = {}, []
    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for file in files:
        notebook = json.loads(file.read_text(encoding="utf-8"))
        colab = f"https://colab.research.google.com/github/snljax/snljax/blob/main/notebooks/{file.name}"
        line = f"[Open in Colab]({colab}) · {file_link(f'notebooks/{file.name}')}"
        for cell in notebook["cells"]:  # links to pages lead out of their folder here, and stay in this one there
            cell["source"] = "".join(cell["source"]).replace("](../docs/", "](../")
        first = notebook["cells"][0]["source"].partition("\n")
        title = first[0].removeprefix("# ")
        notebook["cells"][0]["source"] = f"{first[0]}\n\n{line}\n{first[2]}"
        pages[f"notebooks/{file.name}"] = json.dumps(notebook, ensure_ascii=False, indent=1)
        rows.append(f"| [{title}]({file.name}) | [open]({colab}) |")
    pages["notebooks/index.md"] = _NOTEBOOKS.format(rows="\n".join(rows)) + toctree(file.stem for file in files)
    return pages


_NOTEBOOKS = """# Notebooks

They run from top to bottom, on a laptop in half a minute to two minutes, and their first cell installs the package
where it is missing, as on Colab. The outputs here are those that they are published with; the tests run them in a
small form.

| notebook | in Colab |
|---|---|
{rows}

"""
