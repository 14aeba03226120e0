"""Lines into events: `decode.FileParser` turns a LineBatch into an EventBatch. Pure functions; no I/O, no clock.

A line takes one of seven roads. `runs.Runs` decides about a chunk, `Assembler.lines` about a line; all roads give the
same rows, which the twins of `tests/parse` hold them to:

    JSON objects that fit, many at once   fast.FastPath.add           1.5 µs   decoders, errorlines, bulk
    such objects in containers' lines     containers.ContainerPath      3 µs   core.wrapping, fast
    a JSON object with nothing special    Assembler._plain_json        12 µs   careful, fields
    text that stands alone, many at once  textpath.TextPath.add       ≥ 3 µs   formats, textrows, bulk
    a line of text that is alone          textevent.append              6 µs   formats
    lines in a row that a pattern fits    patternruns.PatternRuns       2 µs   patterns, patterncolumns, textrows
    any other, whatever its bytes         Assembler._line           ≤ 20 µs    formats, careful, multiline, textevent

The entries of a journal have a parser of their own (`journald`), which sees into their messages by the same rules.

The last one takes off wrappers of container runtimes, whose two streams are kept apart (`streams`), joins the lines of
an event, redacts, and says what is wrong with a line. What a line may be follows from its source's format: `formats`,
where one is added by its module.
"""
