"""What fuzzing asks of the parser, asked of every case, at many cuts, and of what fuzzing has found."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests import fuzz_parse

TARGET = fuzz_parse.Target(fuzz_parse.load())
FOUND = {
    "an empty last batch behind an open event is no blank line": b"E, [2026-11-22T05:39:26.1 #1] ERROR -- : failed\n",
    "lines behind blank lines that were counted do not join": b'2 05:39:26,1 - a - WARNING - more\n\n\n{x\n\n"b ord=',
    "the rest of a line that was stored without its newline is no line of its event": b"half\n a line\n\nmore",
    "a split line with redacted parts": b"2026-11-22T03:04:05.678Z stdout P msg=1\n2026-11-22T03:04:05Z stdout P b",
    "a redacted text with a newline in it": b'{"log":"msg=m\\nn\\n","stream":"stdout","time":""}\nmore\nmore\n',
}


@pytest.mark.parametrize("found", FOUND)
def test_what_fuzzing_has_found_stays_mended(found):
    for settings in range(8):
        for seed in range(40):
            TARGET(bytes([settings, seed, 0, 0, 0, 0]) + FOUND[found])


@pytest.mark.parametrize("settings", range(8))
def test_every_case_accounts_for_its_bytes_with_any_settings_and_cuts(settings):
    for number, data in enumerate(fuzz_parse.seeds()):
        TARGET(bytes([settings, number % 251, 1, 2, 3, 4]) + data[fuzz_parse.HEADER_BYTES :])


def test_mutated_cases_account_for_their_bytes():
    """The same as the fuzzing at random, with a fixed seed and for a moment."""
    assert fuzz_parse.at_random(TARGET, 1.0, 20_261_122) > 0


def test_a_fault_is_found_and_its_input_kept(monkeypatch, tmp_path, capsys):
    """Were an event to lose its last byte, it would be noticed within a moment."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    parts = fuzz_parse.load()
    spoilt = fuzz_parse.Target(parts)
    parts.original_of = lambda record, raw: parts.Memory(record)._data[:-1]
    with closing(spoilt), pytest.raises(AssertionError):
        fuzz_parse.at_random(spoilt, 30.0, 1)
    assert "--replay" in capsys.readouterr().out
    [kept] = tmp_path.iterdir()
    with pytest.raises(AssertionError):
        spoilt(kept.read_bytes())
