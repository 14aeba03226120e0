"""Rotation by sidelog itself, of logs whose applications cannot. Everything here blocks.

    rotator       a round: which logs are due, rotate them, tell their applications
    policy        when a log is due
    unfinished    rotations of which the store knows that they have begun, and whose applications are still to be told
    postrotate    telling an application: by a signal, by a command; and whether it has opened its log again
    retention     rotated logs beyond `keep` are deleted
    copytruncate  for an application that keeps its log open
    directory     renames in one directory that overwrite nothing

How rotated logs are named stands in `tail.rotated_names`.
"""
