"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='session')
def data_folder() -> Path:
    """Return the folder of recorded data, which is not part of the repository."""
    folder = Path(os.environ.get('FCRN_TEST_DATA') or ROOT.parent / 'shared' / 'data')
    if not folder.is_dir():
        pytest.skip(f'needs recorded data in {folder}; set FCRN_TEST_DATA to its folder')
    return folder
