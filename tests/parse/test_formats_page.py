"""docs/formats.md shows what the cases say: the page is as `make docs` writes it."""

from tests import formats_page


def test_the_page_is_what_the_cases_make_of_it():
    assert formats_page.PAGE.read_text() == formats_page.page(), "make docs"


def test_every_family_is_shown_with_a_line_and_an_event():
    shown = formats_page.shown()
    names = {family for family, _ in formats_page.families()}
    assert len(names) > 60
    assert all(f"### {name}\n\n" in shown for name in names)
