"""Prompt syntax of other programs, told from plain English."""

import time

import pytest

from deployments.language.emphasis import emphasis_in


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(a lemon:1.6)", "(a lemon:1.6)"),
        ("a cat, (very red:0.8), a hat", "(very red:0.8)"),
        ("(lemon:2)", "(lemon:2)"),
        ("(lemon:.5)", "(lemon:.5)"),
        ("(lemon:-1)", "(lemon:-1)"),
        ("(lemon: 1.2)", "(lemon: 1.2)"),
        ("(lemon :1.2 )", "(lemon :1.2 )"),
        ("((a red (shiny) lemon:1.3))", "(shiny) lemon:1.3)"),
        ("((lemon))", "((lemon))"),
        ("[lemon:0.5]", "[lemon:0.5]"),
        ("[lemon|pear]", "[lemon|pear]"),
        ("<lora:x:0.8>", "<lora:x:0.8>"),
        ("a lemon <LoRA:add detail>", "<LoRA:add detail>"),
        ("<hypernet:x:1>", "<hypernet:x:1>"),
        ("'quoted' (lemon:1.6)", "(lemon:1.6)"),
        ("the dog's (lemon:1.6) and the cat's", "(lemon:1.6)"),
    ],
)
def test_emphasis(text, found):
    assert emphasis_in(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "(a lemon)",
        "a lemon (yellow) and a pear (green)",
        "at 10:30",
        "a clock (10:30)",
        "a film of the ratio 16:9 (2.39:1)",
        "(Exit: 5)",
        "photo (ISO:100)",
        "a sign that says [EXIT]",
        "a keyboard with an [Enter] key",
        "a sign that says 'Exit: 5'",
        "a sign that says '[EXIT]'",
        'a sign that says "(lemon:1.6)"',
        "a sign that says “((lemon))”",
        "the dog's bowl (red), the cat's (blue)",
        "a note: 1.6) lemons",
        "smile :3)",
        r"\\(lemon:1.2\\)",
        "a -> b, 5 < 6 > 4, <b>, []",
        "",
    ],
)
def test_plain_words(text):
    assert emphasis_in(text) is None


@pytest.mark.parametrize("piece", ["(", "((", "[", "<lora:", "(a:", ":1", "'", "a:1.2)", ": "])
def test_long_texts_take_linear_time(piece):
    start = time.thread_time()
    emphasis_in(piece * 20_000)
    assert time.thread_time() - start < 1
