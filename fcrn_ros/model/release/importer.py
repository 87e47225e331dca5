"""
Import a released file.

What is accepted: ``NYU_ResNet-UpProj.npy``; ``NYU_FCRN.ckpt``, by its prefix, its ``.index`` or
its data file; a MatConvNet ``.mat``; and a folder or a ``.zip``, as published, that holds one of
these. A ``.npy`` and a ``.mat`` must hold the network and nothing else; a checkpoint may hold
optimiser slots and counters beside it, which are not read.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fcrn_ros.model.release.checkpoint import DATA_SUFFIX, read_checkpoint
from fcrn_ros.model.release.matconvnet import read_mat
from fcrn_ros.model.release.names import network_of, released_tensors
from fcrn_ros.model.release.npy import read_npy
from fcrn_ros.model.release.published import KNOWN, Intrinsics, release_of
from fcrn_ros.model.weights import ModelError, save_model

LARGEST_MEMBER = 2 << 30  # of a zip [bytes]; a checkpoint with two slots per weight has 0.8e9
ENDINGS = ('.npy', '.mat', '.index')
EXPECTED = (
    'a .npy, a .mat, a checkpoint (NAME.ckpt with its .index and data file), or a folder or .zip '
    'with one of these'
)


@dataclass(frozen=True)
class Imported:
    """
    A model on disk that was imported.

    :param sidecar: its path.
    :param tensors: how many were imported.
    :param sha256: of the imported files, by name.
    """

    sidecar: Path
    tensors: int
    sha256: dict[str, str]

    def summary(self) -> str:
        """Return one line: the tensors, and whether the file is a known one."""
        known = [KNOWN[digest] for digest in self.sha256.values() if digest in KNOWN]
        name, digest = next(iter(self.sha256.items()))
        says = f'known: {known[0]}' if known else 'not one of the known files'
        return f'{self.tensors} tensors; sha256 of {name} {digest[:16]}... ({says})'


def import_release(
    path: Path, folder: Path, name: str = '', camera: Intrinsics | None = None
) -> Imported:
    """
    Write a released file as a model on disk, in float32, exactly.

    :param path: see this module's description.
    :param folder: of the new model; created where it is absent.
    :param name: of the new model; '' for the release's own.
    :param camera: fx, fy, cx, cy [px] of the training camera at the network's input; None for the
        release's own.
    :raises ModelError: the file is absent, damaged, not the released network, or not to be
        trusted.
    """
    if name != Path(name).name:
        raise ModelError(f'the name is {name!r}; expected a bare name without folders')
    path = path.expanduser()
    try:
        if path.suffix.lower() == '.zip' and path.is_file():
            with tempfile.TemporaryDirectory() as unpacked:
                _unpack(path, Path(unpacked))
                return _import(_find(Path(unpacked)), [path], folder, name, camera)
        found = _find(path)
        return _import(found, _files(found), folder, name, camera)
    except ModelError as err:
        raise ModelError(f'{path}: {err}') from err


def _unpack(path: Path, folder: Path) -> None:
    """Unpack what may be a released file, by its bare name."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                target = Path(member.filename).name
                if not target.endswith((*ENDINGS, DATA_SUFFIX)) or target.startswith('.'):
                    continue
                if member.file_size > LARGEST_MEMBER:
                    raise ModelError(f'{target} unpacks to {member.file_size} bytes; refused')
                with archive.open(member) as packed, (folder / target).open('wb') as file:
                    shutil.copyfileobj(packed, file)
    except ModelError:  # a ValueError, too
        raise
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as err:
        raise ModelError(f'not a readable zip: {err}') from err


def _find(path: Path) -> Path:
    """Return the .npy, .mat or .index that a path means."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.name.endswith(ENDINGS))
        if len(found) != 1:
            names = ', '.join(p.name for p in found) or 'nothing'
            raise ModelError(f'it holds {names}; expected exactly one of {", ".join(ENDINGS)}')
        return found[0]
    prefix = path.name.removesuffix(DATA_SUFFIX)
    index = path.with_name(f'{prefix}.index')
    if not path.name.endswith(ENDINGS) and index.is_file():
        return index
    if not path.is_file():
        raise ModelError(f'there is no such file; expected {EXPECTED}')
    if not path.name.endswith(ENDINGS):
        raise ModelError(f'it is none of the released files; expected {EXPECTED}')
    return path


def _files(path: Path) -> list[Path]:
    """Return the files that belong to a .npy, .mat or .index."""
    return [path, _data(path)] if path.suffix == '.index' and _data(path).is_file() else [path]


def _data(index: Path) -> Path:
    return index.with_name(index.name.removesuffix('.index') + DATA_SUFFIX)


def _import(
    found: Path, files: list[Path], folder: Path, name: str, camera: Intrinsics | None
) -> Imported:
    tensors, image_size = _read(found)
    network = network_of(tensors)
    sha256 = {file.name: _sha256(file) for file in files}
    spec = release_of(found.name, image_size).spec(name, camera, sha256)
    return Imported(save_model(network, spec, folder, 'float32'), len(tensors), sha256)


def _read(path: Path) -> tuple[dict[str, NDArray[np.generic]], tuple[int, int] | None]:
    if path.suffix == '.npy':
        return read_npy(path), None
    if path.suffix == '.mat':
        content = read_mat(path)
        return content.tensors, content.image_size
    return read_checkpoint(path, _data(path), released_tensors()), None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
