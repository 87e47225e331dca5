"""A checkpoint is there whole, or the one before it is."""

import errno
import os
import pickle

import pytest
import torch

from fcrn_ros.training.checkpoints import WholeCheckpoints

CONTENT = {'global_step': 3, 'state_dict': {'weight': torch.arange(6.0).view(2, 3)}}


class Harmful:
    """An object that a pickle may hold and a checkpoint may not."""

    def __reduce__(self):
        return os.getenv, ('HOME',)


@pytest.fixture
def last(tmp_path):
    return tmp_path / 'run' / 'last.ckpt'


def _save(content, path):
    WholeCheckpoints().save_checkpoint(content, path)


def _load(path):
    return WholeCheckpoints().load_checkpoint(path)


def test_saved_checkpoint_comes_back_and_nothing_else_is_left(last):
    _save(CONTENT, last)
    found = _load(last)
    assert found['global_step'] == 3
    assert torch.equal(found['state_dict']['weight'], CONTENT['state_dict']['weight'])
    assert [p.name for p in last.parent.iterdir()] == ['last.ckpt']


def test_checkpoint_reaches_the_disk_before_it_takes_its_name(last, monkeypatch):
    """Otherwise a power cut may leave an empty file under the name of the old one."""
    synced, real = [], os.fsync

    def fsync(number):
        synced.append(last.exists())
        real(number)

    monkeypatch.setattr(os, 'fsync', fsync)
    _save(CONTENT, last)
    assert synced == [False]


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOSPC, 'No space left on device'), RuntimeError('file write\nfailed')]
)
def test_failed_write_leaves_the_previous_one(last, monkeypatch, error):
    def full(content, file):
        file.write(b'half')
        raise error

    _save(CONTENT, last)
    before = last.read_bytes()
    monkeypatch.setattr(torch, 'save', full)
    with pytest.raises(OSError, match=r'last.ckpt: the checkpoint was not written \(.*\); the pr'):
        _save(CONTENT, last)
    assert last.read_bytes() == before
    assert [p.name for p in last.parent.iterdir()] == ['last.ckpt']


def test_failed_first_write_says_that_there_is_none(last, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'No space left on device\); there is no previous one$'):
        _save(CONTENT, last)
    assert not list(last.parent.iterdir())


@pytest.mark.parametrize('size', [0, 1, 0.5])
def test_damaged_checkpoint_is_refused_by_name(last, size):
    _save(CONTENT, last)
    whole = last.read_bytes()
    last.write_bytes(whole[: int(size * len(whole)) if size < 1 else size])
    with pytest.raises(ValueError, match='last.ckpt: not a whole checkpoint .*; delete it to beg'):
        _load(last)


def test_checkpoint_runs_no_code(last):
    last.parent.mkdir()
    torch.save({'state_dict': Harmful()}, last)
    assert pickle.loads(pickle.dumps(Harmful())) == os.environ['HOME']
    with pytest.raises(ValueError, match='last.ckpt: not a whole checkpoint'):
        _load(last)
