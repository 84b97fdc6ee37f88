"""Descriptions are found in the three styles that people write."""

from __future__ import annotations

import pytest

from litertlm.tools.docstrings import parse_docstring

GOOGLE = """Look it up.

    In a
    book.

    Args:
        city (str): Name of
            the city.

            Or its number: any.
        *more: The rest.
        unit: "C" or "F".

    Returns:
        city: not a parameter.
    """
NUMPY = """
    Look it up.

    In a book.

    Parameters
    ----------
    city : str
        Name of the city.
    a, b : int, optional
        Two numbers.
    unit
        "C" or "F".

    Returns
    -------
    str
        city
    """
REST = """Look it up.

    In a book.

    :param city: Name of
        the city.
    :param str unit: "C" or "F".
    :type city: str
    :returns: city
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_the_text_before_the_sections_is_the_description(text: str) -> None:
    """Its lines joined, its paragraphs kept."""
    assert parse_docstring(text).description == "Look it up.\n\nIn a book."


def test_google() -> None:
    """Continued lines are joined; other sections' entries are not parameters."""
    assert parse_docstring(GOOGLE).parameters == {
        "city": "Name of the city. Or its number: any.",
        "more": "The rest.",
        "unit": '"C" or "F".',
    }


def test_numpy() -> None:
    """Several names share a description."""
    assert parse_docstring(NUMPY).parameters == {
        "city": "Name of the city.",
        "a": "Two numbers.",
        "b": "Two numbers.",
        "unit": '"C" or "F".',
    }


def test_rest() -> None:
    """With and without type."""
    assert parse_docstring(REST).parameters == {"city": "Name of the city.", "unit": '"C" or "F".'}


@pytest.mark.parametrize("text", [None, "", "   ", "\n\n"])
def test_nothing_says_nothing(text: str | None) -> None:
    """No docstring is no description."""
    assert parse_docstring(text).description == ""


def test_prose_that_only_looks_like_a_section() -> None:
    """A colon alone makes no section."""
    said = parse_docstring("Note that this works:\n\nFor example: so.")
    assert said.description == "Note that this works:\n\nFor example: so."
    assert said.parameters == {}


def test_a_section_without_entries() -> None:
    """Is dropped."""
    assert parse_docstring("Do.\n\nArgs:\n").parameters == {}
