"""The archive stage: rotated logs as small files that any zstd reads and that can be searched frame by frame.

`seekable` is the seek table, `container` the file, `tokens` the filter of one frame, `place` names and safe writing,
`source` the file that is archived. What a line means is not known here: who writes an archive says where it may be
cut, and gives what the index is to hold.
"""
