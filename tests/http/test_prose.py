"""The long texts of codes as pages have them."""

from __future__ import annotations

import re
from html import unescape

import pytest

from agent.core import catalogue
from agent.http import prose


@pytest.mark.parametrize("code", catalogue.codes())
def test_every_text_is_drawn_whole(code):
    text = catalogue.explain(code)
    drawn = str(prose.html(text))
    assert drawn.startswith("<")
    plain = unescape(re.sub(r"</?(?:code|a)\b[^>]*>", "", drawn))
    plain = re.sub(r"</?(?:p|h2|ul|li|pre)>", "\n", plain)
    assert not re.search(r"^#|`", plain, re.MULTILINE)
    wanted = re.sub(r"^(?:#+ |- |\d+\. )|`", "", text.partition("\n")[2], flags=re.MULTILINE)
    assert plain.split() == wanted.split()


def test_what_a_text_says_of_markup_is_text():
    drawn = str(prose.html("# T\n\nA <b> & `<i>` see SL201.\n\n    x < y\n    z\n\n- one\n  more\n- two\n"))
    assert drawn == (
        '<p>A &lt;b&gt; &amp; <code>&lt;i&gt;</code> see <a href="/explain/SL201">SL201</a>.</p>\n'
        "<pre>x &lt; y\nz</pre>\n<ul><li>one more</li><li>two</li></ul>"
    )
