"""Checks of the installation: Python, this package, what it computes with, its models."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

from fcrn_ros import __version__
from fcrn_ros.doctor.finding import Check, Finding, checked, ok, one_line, problem, warning
from fcrn_ros.engine.choice import is_installed

PYTHONS = ((3, 10), (3, 13))  # oldest and newest that the package is tested with


def examine(model: str) -> list[Finding]:
    """Run every check of the installation; see :func:`fcrn_ros.doctor.examine` for ``model``."""
    checks: dict[str, Check] = {
        'Python': python,
        'fcrn_ros': package,
        'NumPy': numpy,
        'OpenCV': opencv,
        'cv_bridge': cv_bridge,
        'PyTorch': pytorch,
        'model': partial(models, model),
    }
    return [finding for name, check in checks.items() for finding in checked(name, check)]


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """Check the interpreter's version."""
    oldest, newest = PYTHONS
    found = f'{version[0]}.{version[1]} ({sys.executable})'
    if oldest <= version <= newest:
        return ok('Python', found)
    span = ' to '.join('.'.join(map(str, v)) for v in PYTHONS)
    return warning('Python', found, f'use Python {span}; others are not tested')


def package() -> Finding:
    """Check that the package's own files are there."""
    from fcrn_ros.share import share_folder

    try:
        return ok('fcrn_ros', f'{__version__}, its files in {share_folder()}')
    except FileNotFoundError as error:
        return problem('fcrn_ros', f'{__version__}: {one_line(error)}', 'install it again')


def numpy() -> Finding:
    """Check that NumPy is there."""
    module, finding = _imported('NumPy', 'numpy', 'pip install numpy')
    return finding or ok('NumPy', module.__version__)


def opencv() -> Finding:
    """Check that OpenCV is there, and one that cv_bridge works with."""
    install = "pip install 'opencv-python-headless<5'"
    module, finding = _imported('OpenCV', 'cv2', install)
    if finding is not None:
        return finding
    version = str(module.__version__)
    if int(version.split('.')[0]) < 5:
        return ok('OpenCV', version)
    return warning('OpenCV', f'{version}; OpenCV 5 breaks cv_bridge', install)


def cv_bridge() -> Finding:
    """Check whether images are decoded by cv_bridge or by the built-in decoder; either will do."""
    from fcrn_ros.image import open_cv_bridge

    if not is_installed('cv_bridge'):
        return ok('cv_bridge', 'not installed; the built-in decoder is used')
    with redirect_stderr(io.StringIO()):  # NumPy writes a page there about a build for another one
        bridge, reason = open_cv_bridge()
    if bridge is not None:
        return ok('cv_bridge', 'works, and is used')
    return warning(
        'cv_bridge',
        f'{reason}; the built-in decoder is used instead',
        'nothing for fcrn_ros; other nodes need a cv_bridge, NumPy and OpenCV that fit together',
    )


def pytorch() -> Finding:
    """Check that PyTorch is there, and where it computes."""
    install = 'pip install torch torchvision'
    torch, finding = _imported('PyTorch', 'torch', install)
    if finding is not None:
        return finding
    if torch.cuda.is_available():
        name, bf16 = torch.cuda.get_device_name(0), torch.cuda.is_bf16_supported()
        return ok('PyTorch', f'{torch.__version__}, computes on {name}, {_bf16(bf16)}')
    from fcrn_ros.engine.torch_engine import cpu_has_bf16

    found = f'{torch.__version__}, computes on the CPU, {_bf16(cpu_has_bf16())}'
    if not Path('/proc/driver/nvidia/version').exists():
        return ok('PyTorch', found)
    why = 'is built without CUDA' if torch.version.cuda is None else 'does not get it to work'
    advice = f'{install} (a build that fits the driver; nvidia-smi says which), then try again'
    return warning('PyTorch', f'{found}; an NVIDIA driver is here, but this PyTorch {why}', advice)


def models(model: str) -> Iterator[Finding]:
    """Verify the named model, or every shipped one and that the default is among them."""
    from fcrn_ros.model.weights import DEFAULT_MODEL, shipped_models

    names = [model] if model else sorted({DEFAULT_MODEL, *shipped_models()})
    return (_model(name) for name in names)


def _model(name: str) -> Finding:
    from fcrn_ros.model.weights import ModelError, find_model, load_spec, verify

    try:
        spec = load_spec(name)
        path = verify(find_model(name), spec)
    except (ModelError, OSError) as error:
        advice = 'copy or install the model again: the .safetensors and the .json belong together'
        return problem('model', one_line(error), advice)
    size = path.stat().st_size / 1e6
    return ok('model', f'{spec.name}: sha256 {spec.sha256[:16]}... ({size:.1f} MB, {path})')


def _imported(subject: str, module: str, install: str) -> tuple[Any, Finding | None]:
    """Return the module; or anything and a finding, where it cannot be imported."""
    if not is_installed(module):
        return None, problem(subject, 'not installed', install)
    try:
        return importlib.import_module(module), None
    except Exception as error:  # a broken binary may raise anything
        found = f'does not import: {type(error).__name__}: {one_line(error)}'
        return None, problem(subject, found, f'{install}, in the Python that runs fcrn')


def _bf16(supported: bool) -> str:
    return 'with bf16' if supported else 'without bf16'
