"""Environment files against what systemd makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.service import environment


@pytest.fixture
def variables(tmp_path):
    def read(text):
        (tmp_path / "environment").write_text(text)
        return environment.variables(str(tmp_path / "environment"))

    return read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=a b", "a b"),
        (" A = a ", "a"),
        ("A=", ""),
        ("A='t o' # no comment", "t o# no comment"),
        ("A='x'\"y\" z", "xyz"),
        ('A=a"b"', 'a"b"'),
        ("A=$HOME", "$HOME"),
        ("A=a\\\nb", "ab"),
        ("A= a\\\nb  \\\nc  ", "ab  c"),
        ("A=a\\ ", "a "),
        ("A=a\\", "a"),
        ("A='one\ntwo'", "one\ntwo"),
        ("A='one\\'", "one\\"),
        ('A="one\ntwo \\" \\$ \\`\\\\ \\n\\\n."', 'one\ntwo " $ `\\ \\n.'),
        ('A="open', "open"),
        ('A="open\\', "open"),
        ("#A=b\\\nA=a", "a"),
        ("; B\nA=b\nA=a", "a"),
        ("export A=b\nA=a", "a"),
    ],
)
def test_a_value_is_what_systemd_reads(variables, text, value):
    assert variables(text) == {"A": value}


def test_a_line_in_a_value_is_no_assignment(variables):
    assert variables("A='x\nB=y\n'\nC=z") == {"A": "x\nB=y\n", "C": "z"}
    assert variables("A=x\\\nB=y\nC=z") == {"A": "xB=y", "C": "z"}


def test_what_is_dropped_is_numbered_and_shown_without_a_value(tmp_path):
    file = tmp_path / "environment"
    file.write_text("\n# c\nA='\n'\nexport T=s\ns\n1B=s\n=s=s\nB=\\\ns\ns/s=s\n")
    ignored = [(line.number, line.shown()) for line in environment.read(str(file)) if not line.is_assignment]
    nothing = "it is no NAME=VALUE"
    assert ignored == [(5, "export T=…"), (6, nothing), (7, "1B=…"), (8, nothing), (11, nothing)]


@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\r\0")))
def test_every_value_can_be_written_in_quotes(tmp_path_factory, value):
    escaped = "".join(f"\\{one}" if one in '"\\`$' else one for one in value)
    file = tmp_path_factory.mktemp("any") / "environment"
    file.write_text(f'A="{escaped}"\nB=end\n', newline="")
    assert environment.variables(str(file)) == {"A": value, "B": "end"}


@given(text=st.text(st.sampled_from("AB=\"'\\ \t\n#;$")))
def test_every_text_has_an_end_and_its_lines_ascend(tmp_path_factory, text):
    file = tmp_path_factory.mktemp("any") / "environment"
    file.write_text(text)
    numbers = [line.number for line in environment.read(str(file))]
    assert numbers == sorted(set(numbers))
    assert not numbers or numbers[-1] <= text.count("\n") + 1
