from msgspec.structs import replace

from agent.core.model import FileGeneration
from agent.tail.identity import FileKey
from agent.tail.registry import DormantFiles


def generation(number, inode):
    return FileGeneration(number, "app", f"/var/log/{number}.log", 1, inode, 0)


def test_files_are_found_by_the_inode_that_they_have_now():
    files = DormantFiles([generation(1, 10), generation(2, 10), generation(3, 30)])
    assert {file.id for file in files.of_inode(FileKey(1, 10))} == {1, 2}
    files[1] = replace(files[1], inode=30)
    del files[2]
    files.discard(2)
    assert files.of_inode(FileKey(1, 10)) == []
    assert {file.id for file in files.of_inode(FileKey(1, 30))} == {1, 3}
    files.discard(1)
    files.discard(3)
    assert (dict(files), files._ids) == ({}, {})
