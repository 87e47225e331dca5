"""A file is the old one or the new one."""

import os
import stat

import pytest

from fcrn_ros import whole_file
from fcrn_ros.whole_file import write_whole


def test_the_new_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / 'file.json'
    path.write_bytes(b'old')
    write_whole(path, b'new')
    assert path.read_bytes() == b'new' and os.listdir(tmp_path) == ['file.json']


def test_what_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'file.json'
    path.write_bytes(b'old')

    def fail(_):
        raise OSError('no space left')

    monkeypatch.setattr(whole_file.os, 'fsync', fail)
    with pytest.raises(OSError, match='no space left'):
        write_whole(path, b'new')
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['file.json']


@pytest.mark.parametrize(('private', 'mode'), [(True, 0o600), (False, 0o640)])
def test_permissions_are_the_users_or_private(tmp_path, private, mode):
    """A mask of 027 takes writing from the group and everything from others: 666 -> 640."""
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / 'file', b'', private)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'file').stat().st_mode) == mode


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no_folder'):
        write_whole(tmp_path / 'no_folder' / 'file', b'')
