"""The table of phrases in docs/grounding.md says what the code does."""

import re
from pathlib import Path

import numpy as np
import pytest

from deployments.config import DriverSettings
from deployments.driver.jobs import complete_edit, complete_locate
from deployments.errors import InvalidInput
from deployments.messages import EditRequest, LocateRequest

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "grounding.md"
IMAGE = np.zeros((64, 48, 3), np.uint8)


def rows():
    """The table's rows: words, field, what is done."""
    section = DOCUMENT.read_text().split("### What words can say")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return [(words, field, done) for words, field, _, done in cells if field in ("target", "prompt")]


def done(words, field):
    """What is done with a request whose target or prompt says so, in the table's terms."""
    edit = None
    try:
        if field == "target":
            where = complete_locate(LocateRequest(IMAGE, words), DriverSettings())
        else:
            edit = complete_edit(EditRequest(IMAGE, words), DriverSettings())
            where = edit.where
    except InvalidInput as error:
        is_named = error.param == field and error.message.startswith(f"`{field}` ")
        return "refused" if is_named else f"refused by {error.param}: {error.message}"
    wording = where.wordings[0]
    assert where.avoid == wording.avoid
    said = [f"`{wording.phrase}`"]
    said += ["order"] if wording.order and wording.order.firm else []
    said += ["relation"] if wording.relation else []
    said += ["part"] if wording.among else []
    said += ["avoid " + " ".join(f"`{phrase}`" for phrase in wording.avoid)] if wording.avoid else []
    said += ["every"] if wording.every else []
    said += [f"count {wording.count}"] if wording.count else []
    if edit:
        said.append("removes" if edit.mode == "remove" else f"paint `{edit.prompt}`")
    return ", ".join(said)


@pytest.mark.parametrize(("words", "field", "expected"), rows(), ids=[words for words, _, _ in rows()])
def test_a_phrase_of_the_table_is_done_as_it_says(words, field, expected):
    assert done(words, field) == expected


def test_the_table_has_phrases_of_every_kind():
    found = rows()
    assert len(found) >= 50
    kinds = {
        kind
        for _, _, expected in found
        for kind in re.findall(r"refused|every|avoid|count|part|removes|paint", expected)
    }
    assert kinds == {"refused", "every", "avoid", "count", "part", "removes", "paint"}
