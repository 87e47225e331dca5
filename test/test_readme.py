"""The README against the code: files, topics, parameters, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fcrn_ros.cli import COMMANDS
from fcrn_ros.settings import PARAMETERS, Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_every_module_in_the_tree_exists_and_none_is_missing():
    tree = README.split('## Where things are')[1].split('## Licence')[0]
    modules = {p.name for p in (ROOT / 'fcrn_ros').glob('*.py')} - {'__init__.py'}
    folders = {p.name for p in (ROOT / 'fcrn_ros').iterdir() if (p / '__init__.py').exists()}
    assert set(re.findall(r'(?<![\w/])(\w+\.py)\b', tree)) == modules
    assert folders <= set(re.findall(r'\b(\w+)/', tree))


def test_every_output_topic_is_listed():
    outputs = pytest.importorskip('fcrn_ros.shell.outputs', reason='needs ROS 2 (rclpy)')
    table = README.split('## Topics')[1].split('## Parameters')[0]
    assert set(outputs.OUTPUTS) <= set(re.findall(r'`([\w/]+)`', table))


def test_every_command_and_option_named_exists():
    assert {m for m in re.findall(r'fcrn (\w+) -', README)} <= set(COMMANDS)


def test_parameters_and_defaults_are_the_codes():
    table = README.split('## Parameters')[1].split('## Models')[0]
    for names, default in re.findall(r'^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|', table, re.M):
        for name, value in zip(re.findall(r'\w+', names), default.split(', '), strict=True):
            assert name in PARAMETERS
            expected = getattr(Settings, name)
            assert type(expected)(value.strip()) == expected


def test_linked_files_exist():
    for link in re.findall(r'\]\(([^)#]+)\)', README):
        if not link.startswith('http'):
            assert (ROOT / link).exists(), link
