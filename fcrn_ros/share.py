"""Where this package's own files lie: models, configuration, launch files, the demo clip."""

from __future__ import annotations

import importlib.metadata
import sys
from functools import lru_cache
from pathlib import Path

PACKAGE = 'fcrn_ros'


@lru_cache(maxsize=1)
def share_folder() -> Path:
    """
    Return the folder that holds models/, config/, launch/ and demo/.

    In a source tree that is the repository; where colcon or pip installed the package it is
    ``share/fcrn_ros`` of that installation. ament's index is not needed.

    :raises FileNotFoundError: none of the places has the package's files.
    """
    module = Path(__file__).resolve()
    candidates = [module.parents[1]]
    # lib/python3.x/site-packages/fcrn_ros/share.py -> share/fcrn_ros
    candidates += [parent / 'share' / PACKAGE for parent in module.parents[2:6]]
    candidates += [Path(sys.prefix) / 'share' / PACKAGE, *_recorded()]
    for folder in candidates:
        if (folder / 'package.xml').is_file():
            return folder
    raise FileNotFoundError(
        f'the files of {PACKAGE} (models, config) were not found; looked in '
        + ', '.join(map(str, candidates))
    )


def _recorded() -> list[Path]:
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [Path(str(f.locate())).resolve().parent for f in files if f.name == 'package.xml']
