"""What the grouper remembers of a trace without its message gives the fingerprint of the whole trace."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import ErrorEvent
from agent.group import fingerprint
from agent.group.grouper import Grouper
from tests.group.test_fingerprint import EXPECTED

KNOWN = "".join(trace.format(release="1", line=7, value="x", hash="8f") for trace, _ in EXPECTED.values())
ODD = ["Traceback (most recent call last):", "", "ValueError: user 1", "ValueError: user 2", "a.b(1)", "a.b(1) c",
       "File", 'File "a.py", line 3, in f', "at a.b(C.java:1)", "at a", "a.rb:3:in `f'", "x\r",
       "K: ('a', 1)", 'E: in File "a.py", line 3, in f', '  File "a.py", line 3',
       '  File "b.py", line 3, in g']  # fmt: skip
lines = st.sampled_from([*KNOWN.split("\n"), *ODD])
traces = st.builds(lambda parts, end: "\n".join(parts) + end, st.lists(lines, max_size=6), st.sampled_from(["", "\n"]))
errors = st.builds(
    lambda trace, kind, message, logger, mark: ErrorEvent(
        0, 0, 17, message, logger, exception_type=kind, stacktrace=trace, fingerprint=mark
    ),
    st.one_of(traces, st.none()), st.sampled_from(["ValueError", None]), st.sampled_from(["", "a", "b 1"]),
    st.sampled_from([None, "x"]), st.sampled_from([None, None, None, "own"]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(errors, max_size=12))
def test_a_remembered_trace_has_the_fingerprint_of_the_whole(events):
    groups = Grouper()
    for event in events:
        groups.assign(event)
        assert groups.describe(event).fingerprint == fingerprint.fingerprint(fingerprint.shape(event))


def test_traces_that_differ_in_their_message_are_remembered_once():
    groups = Grouper()
    trace = 'Traceback (most recent call last):\n  File "a/b.py", line 3, in f\nValueError: user {}'
    java = "a.b.CException: user {}\n\tat a.b.C.d(C.java:12)"
    for user in range(100):
        for text in (trace, java):
            groups.assign(ErrorEvent(0, 0, 17, f"user {user}", exception_type="E", stacktrace=text.format(user)))
    assert len(groups._cache) == 2


def test_python_traces_are_remembered_once_however_long_their_message_is():
    groups = Grouper()
    trace = (
        'Traceback (most recent call last):\n  File "a/b.py", line 3, in f\n    g()\n    ~^^\nE: {0}\nname\n  got {0}'
    )
    events = [ErrorEvent(0, 0, 17, "", exception_type="E", stacktrace=trace.format(user)) for user in range(100)]
    assert len({groups.assign(event) for event in events}) == 1
    assert len(groups._cache) == 1
    assert groups.describe(events[7]).culprit == "a/b.py:f"


def test_the_frames_part_of_a_python_trace_ends_with_its_last_frame():
    trace = 'Traceback (most recent call last):\n  File "a/b.py", line 3, in f\n    g()\nE: x'
    assert fingerprint.frames_part(trace) == (trace.partition("\n    g")[0], True)
    assert fingerprint.frames_part(trace.partition("\n    g")[0]) == (trace.partition("\n    g")[0], True)
    assert fingerprint.frames_part("Traceback (most recent call last):\nE: x") is None
