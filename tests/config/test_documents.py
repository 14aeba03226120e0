"""Reading one file: three formats, syntax errors with their line, hostile documents."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import documents
from agent.core.errors import ConfigError


def parse(text, suffix=".yaml"):
    return documents.parse(text, suffix, "f")[0]


def refused(text, suffix=".yaml"):
    with pytest.raises(ConfigError) as caught:
        documents.parse(text, suffix, "f")
    assert caught.value.code == "SL102"
    assert caught.value.exit_code == 78
    return caught.value.message


def test_scalars_follow_the_core_schema_of_yaml_1_2():
    text = "[off, no, 1:30, 2026-01-01, true, FALSE, null, ~, '', 12, -3, 0x1f, 0o17, 012, 1.5, 1e3, '7', <<]"
    assert parse(text) == (
        ["off", "no", "1:30", "2026-01-01", True, False, None, None, "", 12, -3, 31, 15, 12, 1.5, 1000.0, "7", "<<"]
    )


def test_an_empty_value_is_null_and_an_empty_document_nothing():
    assert parse("store:\n") == {"store": None}
    assert parse("# only words\n") is None


def test_lines_are_known_for_keys_and_elements():
    _, lines = documents.parse("a: 1\nb:\n  - x\n  - c: 2\n", ".yaml", "f")
    assert (lines["a",], lines["b",], lines["b", 1], lines["b", 1, "c"]) == (1, 2, 4, 4)


def test_anchors_and_merges_share_settings():
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [{x: 9}, *b]}\nthree: *b\n"
    document = parse(text)
    assert document["one"] == {"x": 1, "y": 3}
    assert document["two"] == {"x": 9, "y": 2}
    assert document["three"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sources: [\n", "f:2: YAML: "),
        ("a: 1\na: 2\n", "f:2: the key 'a' stands twice"),
        ("a: !!binary aGk=\n", "f:1: the tag tag:yaml.org,2002:binary is not accepted"),
        ("a: !!python/object:os.system {}\n", "f:1: the tag tag:yaml.org,2002:python/object:os.system is not accepted"),
        ("a: !!set {x}\n", "f:1: the tag"),
        ("a: !!omap [x: 1]\n", "f:1: the tag"),
        ("1: x\n", "f:1: a key is not a text"),
        ("? [a]\n: x\n", "f:1: a key is not a text"),
        ("a: &a [*a]\n", "f:1: "),
        ("<<: 5\n", "f:1: << needs a mapping"),
        ("a: 1\n---\nb: 2\n", "f:2: YAML: "),
        ("a: *nobody\n", "f:1: YAML: found undefined alias"),
        ("a: \x07\n", "f:1: YAML: the control character '\\x07' cannot stand here"),
        ("a: !!int x\n", "f:1: 'x' is not a number"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deeply"),
    ],
)
def test_bad_yaml_is_named_with_its_line(text, said):
    assert said in refused(text)


@pytest.mark.parametrize("pure", [False, True], ids=["libyaml", "python"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store:\n\tpath: x\n", "f:2: YAML: a tab stands where YAML wants spaces"),
        ("store:\n  path:\t\n\tx: y\n", "YAML: a tab stands"),
        ("a: @b\n", "f:1: YAML: a value cannot begin with '@'"),
        ("a: [b\nc: d\n", "a list '[' is not closed"),
        ("a: {b: c\nd: e\n", "a mapping '{' is not closed"),
        ("a: b: c\n", "f:1: YAML: a ': ' in the middle of a text"),
        ("a: 'b\n", "a quote is not closed"),
        ('a: "\\d+"\n', "f:1: YAML: a backslash in double quotes"),
        ("a: *.log\n", "put a pattern such as '*.log' in quotes"),
        ("a:\n  b: 1\n c: 2\n", "indented otherwise"),
        ("a: 'b' c\n", "text behind a closed quote"),
        ("a:\n  - b: 1\n\t  c: 2\n", "f:3: YAML: a tab stands"),
        ("a: b\nc:[d]\ne: f\n", "f:2: YAML: a key without its ':', or without a blank behind that"),
        ("a: 1\nb: 'c\nd: 2\n", "f:2: YAML: a quote is not closed"),
        ('a: 1\nb: "c\nd: 2\n', "f:2: YAML: a quote is not closed"),
        ('a: ["C:\\x"]\n', "f:1: YAML: a backslash in double quotes"),
        ("a:\n  - b: 1\n  -c: 2\n", "f:3: YAML: a line"),
        ("a: 1\nb: c\0\n", "f:2: YAML: the control character '\\x00' cannot stand here"),
    ],
)
def test_slips_are_told_in_words(text, said, pure, monkeypatch):
    """By both parsers that PyYAML may bring."""
    if pure:
        import yaml

        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    documents.loader_class.cache_clear()
    try:
        assert said in refused(text)
    finally:
        documents.loader_class.cache_clear()


def test_a_bomb_of_aliases_ends_early():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too many values" in refused("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b": }', "f:2: JSON: "),
        ('{"a": 1, "a": 2}', "f: the key 'a' stands twice"),
        ('{"a": NaN}', "f: NaN is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "f: a number has too many digits"),
        ("[" * 100_000, "f: is nested too deeply"),
    ],
)
def test_bad_json_is_named(text, said):
    assert refused(text, ".json").startswith(said)


@pytest.mark.parametrize(
    ("text", "said"), [("a = 1\nb = [", "TOML: "), ("a = 1\na = 2\n", "f:2: TOML: "), ("a = 1\nb = \n", "f:2: TOML: ")]
)
def test_bad_toml_is_named(text, said):
    assert said in refused(text, ".toml")


def test_the_three_formats_say_the_same():
    value = {"store": {"path": "/x", "min_free": "1GiB"}, "sources": [{"name": "a", "include": ["/b"]}]}
    toml = '[store]\npath = "/x"\nmin_free = "1GiB"\n[[sources]]\nname = "a"\ninclude = ["/b"]\n'
    assert parse(toml, ".toml") == parse(json.dumps(value), ".json") == parse(json.dumps(value)) == value


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.text(st.characters(codec="ascii", min_codepoint=32)),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_.", min_size=1, max_size=5), inner, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_yaml_reads_json(value):
    text = json.dumps(value)
    assert parse(text) == parse(text, ".json") == value


@given(st.text(max_size=200))
def test_any_text_is_a_value_or_a_syntax_error(text):
    for suffix in (".yaml", ".json", ".toml"):
        with contextlib.suppress(ConfigError):
            documents.parse(text, suffix, "f")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml cannot be read: No such file") as caught:
        documents.read(tmp_path / "absent.yaml")
    assert (caught.value.code, "sidelog init" in caught.value.hint) == ("SL101", True)
    with pytest.raises(ConfigError, match="Is a directory"):
        documents.read(tmp_path)


def test_a_file_that_is_no_text_or_too_large(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2: is not UTF-8 \(byte 0xFF\); save it as UTF-8"):
        documents.read(file)
    file.write_bytes("a: 1\n".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"a\.yaml:1: is UTF-16, not UTF-8; save it as UTF-8"):
        documents.read(file)
    file.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        documents.read(file)


def test_a_document_is_a_mapping_with_or_without_a_byte_order_mark(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfhttp: null\n")
    assert documents.read(file).document == {"http": None}
    file.write_bytes(b"")
    assert documents.read(file).document == {}
    file.write_bytes(b"- a\n")
    with pytest.raises(ConfigError, match="the document is not a mapping"):
        documents.read(file)
