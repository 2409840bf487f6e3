"""Every link in the documentation leads somewhere: to a file of the repository, and to a heading in it."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = {"node_modules", "out", "runs", "build"}
"""Folders whose pages are not the repository's."""

LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


@cache
def pages(root: Path) -> list[Path]:
    """The Markdown that is the repository's own."""
    found: list[Path] = []
    for name, folders, files in os.walk(root):
        folders[:] = [folder for folder in folders if folder not in FOREIGN and not folder.startswith(".")]
        found += (Path(name, file).relative_to(root) for file in files if file.endswith(".md"))
    return sorted(found)


def prose(page: Path) -> str:
    """A page without its code, in which brackets mean something else."""
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(?: {4}|\t).*$", "", text, flags=re.MULTILINE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Those of a page's headings, as GitHub makes them: the second heading of a name gets -1."""
    seen: dict[str, int] = {}
    made: list[str] = []
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        made.append(f"{anchor}-{count}" if count else anchor)
    return frozenset(made)


def dead(page: Path, root: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for groups in LINK.findall(re.sub(r"`[^`\n]*`", "`code`", prose(page))):
        link = groups[0] or groups[1]
        if re.match(r"[a-z+]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or not target.is_relative_to(root):
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", pages(ROOT), ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(dead(ROOT / page, ROOT)) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text(
        "# A `heading`, with (signs)\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n"
    )
    page = tmp_path / "page.md"
    good = (
        "[a](other.md) [b](other.md#a-heading-with-signs) [c](other.md#twice-1) [`d`](#here) ![e](https://x.example/)"
    )
    page.write_text(f"# Here\n\n{good}\n`[f](code.md)`\n\n    [g](code.md)\n\n```\n[h](code.md)\n```\n")
    assert list(dead(page, tmp_path)) == []
    page.write_text('[a](gone.md) [b](other.md#no-heading) [c](#gone) [d](../outside.md) <img src="gone.png">\n')
    assert [found.partition(":")[0] for found in dead(page, tmp_path)] == [
        "gone.md",
        "other.md#no-heading",
        "#gone",
        "../outside.md",
        "gone.png",
    ]


def test_the_pages_are_found() -> None:
    assert {Path("README.md"), Path("docs/api.md"), Path("docs/calling.md"), Path("examples/go/README.md")} <= set(
        pages(ROOT)
    )
