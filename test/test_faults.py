"""
Training that is killed, interrupted, fed with NaN, or runs out of disk.

Every run is a process of its own: eight steps in four stretches, of which each ends with a
validation and a checkpoint.
"""

import os
import resource
import signal
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from small_runs import options, run_fcrn, write_model, write_pairs


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with the pairs 'room', and the model 'tiny.json'."""
    folder = tmp_path_factory.mktemp('faults')
    write_pairs(folder / 'room')
    write_model(folder)
    return folder


@pytest.fixture(scope='module')
def uninterrupted(folder):
    """Return the weights of the run that nothing happened to."""
    ended = run_fcrn(_arguments('whole'), folder)
    assert ended.status == 0, ended.err
    return load_file(folder / 'whole' / 'new.safetensors')


def _arguments(out, **changes):
    given = {'out': out, 'name': 'new', 'cache': 'cache', **changes}
    return options('tiny.json', 'room', **given)


def _die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_in_step(number):
    """Die when the optimiser has done so many steps, before the average follows."""
    from fcrn_ros.training.module import DepthTraining

    end = DepthTraining.on_train_batch_end

    def watched(self, *rest):
        if self.global_step == number:
            _die()
        end(self, *rest)

    DepthTraining.on_train_batch_end = watched


def _die_in_checkpoint(number):
    """Die when half of a checkpoint is written, the one after so many steps."""
    save = torch.save

    def half(content, file, *rest, **more):
        if content.get('global_step') != number:
            return save(content, file, *rest, **more)
        save(content, file, *rest, **more)
        file.flush()
        os.truncate(file.name, os.path.getsize(file.name) // 2)
        _die()

    torch.save = half


def _die_in_validation(number):
    from fcrn_ros.training.module import DepthTraining

    step = DepthTraining.validation_step

    def watched(self, *rest):
        if self.global_step == number:
            _die()
        return step(self, *rest)

    DepthTraining.validation_step = watched


def _largest_difference(expected, found):
    assert expected.keys() == found.keys()
    return max((expected[k].float() - found[k].float()).abs().max().item() for k in expected)


def test_a_run_killed_thrice_ends_with_the_weights_of_one_that_was_not(folder, uninterrupted):
    """In a step, in a validation, and with half of a checkpoint on disk; with a reader beside."""
    arguments = _arguments('killed', workers=1)
    killed = [
        (partial(_die_in_step, 3), 2),
        (partial(_die_in_validation, 4), 2),
        (partial(_die_in_checkpoint, 6), 4),
    ]
    for fault, kept in killed:
        assert run_fcrn(arguments, folder, fault).status == -signal.SIGKILL
        last = torch.load(folder / 'killed' / 'last.ckpt', weights_only=True)
        assert last['global_step'] == kept
    assert list((folder / 'killed').glob('*.part'))
    ended = run_fcrn(arguments, folder)
    assert ended.status == 0, ended.err
    assert not list((folder / 'killed').glob('*.part'))
    found = load_file(folder / 'killed' / 'new.safetensors')
    assert _largest_difference(uninterrupted, found) == 0


def _interrupt_in_step(number):
    """Press Ctrl-C in the step after so many."""
    from fcrn_ros.training.module import DepthTraining

    step = DepthTraining.training_step

    def watched(self, *rest):
        if self.global_step == number:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *rest)

    DepthTraining.training_step = watched


def _spoil_step(number):
    """Give the network weights that make NaN before the step after so many."""
    from fcrn_ros.training.module import DepthTraining

    step = DepthTraining.training_step

    def watched(self, *rest):
        if self.global_step == number:
            self.network.predict.bias.data[0] = float('nan')
        return step(self, *rest)

    DepthTraining.training_step = watched


def _spoil_weights(number):
    """Make a weight infinite after so many steps, the last ones of a stretch."""
    from fcrn_ros.training.module import DepthTraining

    end = DepthTraining.on_train_batch_end

    def watched(self, *rest):
        end(self, *rest)
        if self.global_step == number:
            self.network.predict.weight.data[0, 0, 1, 1] = float('inf')

    DepthTraining.on_train_batch_end = watched


def _shrink_files(number):
    """Let no file grow over 1 MB once so many steps are done: writing a checkpoint fails."""
    from fcrn_ros.training.module import DepthTraining

    step = DepthTraining.training_step

    def watched(self, *rest):
        if self.global_step == number - 1:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
        return step(self, *rest)

    DepthTraining.training_step = watched


def _goes_on(folder, out, kept, uninterrupted):
    """Whether the checkpoint is that of so many steps, whole, alone, and leads to the end."""
    last = torch.load(folder / out / 'last.ckpt', weights_only=True)
    assert last['global_step'] == kept
    assert not list((folder / out).glob('*.part')) + list((folder / out).glob('new.*'))
    ended = run_fcrn(_arguments(out), folder)
    assert ended.status == 0, ended.err
    found = load_file(folder / out / 'new.safetensors')
    assert _largest_difference(uninterrupted, found) == 0


def _last_line(text):
    return text.strip().splitlines()[-1]


def test_interrupted_run_says_so_and_goes_on(folder, uninterrupted):
    ended = run_fcrn(_arguments('stopped'), folder, partial(_interrupt_in_step, 5))
    assert ended.status == 1
    assert _last_line(ended.err) == 'fcrn: interrupted'
    assert 'Traceback' not in ended.err
    _goes_on(folder, 'stopped', 4, uninterrupted)


def test_loss_that_is_not_finite_stops_the_run_and_names_the_batch(folder, uninterrupted):
    """Step 5 is the sixth batch: readings 20 to 23 of the list."""
    ended = run_fcrn(_arguments('nan'), folder, partial(_spoil_step, 5))
    assert ended.status == 1
    error = _last_line(ended.err)
    assert error.startswith('fcrn train: the loss is nan at step 5; the batch was room 0')
    assert error.count('room 0') == 4
    assert 'Traceback' not in ended.err
    _goes_on(folder, 'nan', 4, uninterrupted)


def test_weights_that_are_not_finite_are_never_a_checkpoint(folder, uninterrupted):
    ended = run_fcrn(_arguments('inf'), folder, partial(_spoil_weights, 6))
    assert ended.status == 1
    assert _last_line(ended.err) == (
        'fcrn train: network.predict.weight is not finite after step 6; the previous checkpoint '
        'is as it was'
    )
    _goes_on(folder, 'inf', 4, uninterrupted)


def test_full_disk_leaves_the_previous_checkpoint(folder, uninterrupted):
    ended = run_fcrn(_arguments('full'), folder, partial(_shrink_files, 4))
    assert ended.status == 1
    error = _last_line(ended.err)
    assert error.startswith('fcrn train: ') and 'full/last.ckpt: the checkpoint was not' in error
    assert error.endswith('; the previous one is kept')
    assert 'Traceback' not in ended.err
    _goes_on(folder, 'full', 2, uninterrupted)
