"""
A model on disk: ``NAME.safetensors`` with the weights and ``NAME.json``, its sidecar, beside it.

What belongs to the weights travels with them: the sidecar says what the network eats, with which
camera it was trained, in which range its depth holds, under which licence, and the sha256 of the
weights. No file is executed: safetensors holds arrays alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fcrn_ros.camera import Camera
from fcrn_ros.share import share_folder
from fcrn_ros.whole_file import write_whole

if TYPE_CHECKING:
    from fcrn_ros.model.fcrn import Architecture, Fcrn

FORMAT = 1
DEFAULT_MODEL = 'fcrn_mobilenet_v2_nyu'
STORED_TYPES = ('float16', 'float32')  # of the floating-point weights on disk
# fields of the sidecar that are lists: the type of their numbers, and how many
NUMBERS: dict[str, tuple[Any, int]] = {
    'input_size': (int, 2),
    'mean': ((int, float), 3),
    'std': ((int, float), 3),
    'depth_range': ((int, float), 2),
}


class ModelError(ValueError):
    """A model on disk that is absent, damaged, or does not fit its sidecar."""


@dataclass(frozen=True)
class ModelSpec:
    """
    What a model expects and promises.

    :param name: the file's stem.
    :param architecture: the keyword arguments of ``Architecture``.
    :param input_size: (rows, columns) of the network's input [px].
    :param mean: per channel (R, G, B), in 0..255; the input is (pixel - mean) / std.
    :param std: per channel, in 0..255.
    :param camera: fx, fy, cx, cy [px] of the training camera at ``input_size``.
    :param depth_range: (nearest, farthest) z-depth [m] seen in training.
    :param licence: of the weights.
    :param provenance: where the weights come from: data, recipe, commit.
    :param metrics: what was measured, on what, by which command.
    :param unit: of channel 0; metres.
    :param sha256: of the safetensors file.
    """

    name: str
    architecture: dict[str, Any]
    input_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    camera: dict[str, float]
    depth_range: tuple[float, float]
    licence: str = ''
    provenance: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    unit: str = 'm'
    sha256: str = ''

    @property
    def network_camera(self) -> Camera:
        """The training camera, of the network's input image."""
        height, width = self.input_size
        return Camera(width, height, **self.camera)  # type: ignore[arg-type]

    @property
    def output_size(self) -> tuple[int, int]:
        """(rows, columns) of the network's output [px]; it covers the whole input."""
        height, width = self.input_size
        return 16 * -(-height // 32), 16 * -(-width // 32)

    @property
    def has_uncertainty(self) -> bool:
        """Whether the network predicts log(b) in a second channel."""
        return bool(self.architecture.get('uncertainty', False))

    def to_json(self) -> str:
        """Return the sidecar's text."""
        return json.dumps({'format': FORMAT, **asdict(self)}, indent=2) + '\n'


def _read_spec(path: Path) -> ModelSpec:
    try:
        content = json.loads(path.read_bytes())
        if content.pop('format', None) != FORMAT:
            raise ModelError(f'{path}: format is not {FORMAT}; expected a sidecar of this package')
        for name, (kind, length) in NUMBERS.items():
            content[name] = tuple(content[name])
            if len(content[name]) != length or not all(isinstance(n, kind) for n in content[name]):
                raise ValueError(f'{name} is {content[name]}; expected {length} numbers')
        spec = ModelSpec(**content)
        _ = spec.network_camera
    except (json.JSONDecodeError, UnicodeError, TypeError, KeyError, AttributeError) as err:
        raise ModelError(f'{path}: not a model sidecar: {err}') from err
    except ModelError:
        raise
    except ValueError as err:
        raise ModelError(f'{path}: {err}') from err
    if spec.unit != 'm':
        raise ModelError(f"{path}: unit is {spec.unit!r}; expected 'm'")
    if any(n < 32 for n in spec.input_size) or min(spec.std) <= 0:
        raise ModelError(
            f'{path}: input_size {spec.input_size}, std {spec.std}; '
            'expected at least 32 px and positive deviations'
        )
    return spec


def models_folder() -> Path:
    """Return the folder of the shipped models."""
    return share_folder() / 'models'


def shipped_models() -> list[str]:
    """Return the names of the shipped models, sorted."""
    return sorted(p.stem for p in models_folder().glob('*.json'))


def find_model(model: str = '') -> Path:
    """
    Return the sidecar's path of a model.

    :param model: a shipped model's name, a path to a sidecar or its safetensors file; '' is the
        default.
    :raises ModelError: there is no such model.
    """
    name = model or DEFAULT_MODEL
    path = Path(name).expanduser()
    if path.suffix in ('.safetensors', '.json') and path.with_suffix('.json').is_file():
        return path.with_suffix('.json')
    shipped = models_folder() / f'{name}.json'
    if shipped.is_file():
        return shipped
    raise ModelError(
        f'model {name!r} was not found; expected a path to its .safetensors file with the '
        f'.json beside it, or one of: {", ".join(shipped_models()) or "(no model is shipped)"}'
    )


def load_spec(model: str = '') -> ModelSpec:
    """Read a model's sidecar alone; see :func:`find_model` for ``model`` and the errors."""
    path = find_model(model)
    return _read_spec(path)


def verify(sidecar: Path, spec: ModelSpec) -> Path:
    """
    Check the weights' sha256 against the sidecar.

    :return: the safetensors file's path.
    :raises ModelError: the file is absent or differs.
    """
    path = sidecar.with_suffix('.safetensors')
    if not path.is_file():
        raise ModelError(f'{path} was not found; expected it beside {sidecar.name}')
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != spec.sha256:
        raise ModelError(
            f'{path}: sha256 is {found[:16]}... ({path.stat().st_size} bytes); '
            f'expected {spec.sha256[:16]}...: the file is damaged or belongs to another sidecar'
        )
    return path


def architecture_of(spec: ModelSpec) -> Architecture:
    """Return a spec's architecture; :raises ModelError: it names something unknown."""
    from fcrn_ros.model.fcrn import Architecture

    try:
        return Architecture(**spec.architecture)
    except (TypeError, ValueError) as err:
        raise ModelError(f'model {spec.name}: {err}') from err


def load_model(model: str = '') -> tuple[Fcrn, ModelSpec]:
    """
    Load a network in its plain form, in float32 and evaluation mode.

    :param model: see :func:`find_model`.
    :raises ModelError: a file is absent or damaged, or a tensor is missing, surplus or of another
        shape.
    """
    import safetensors.torch

    from fcrn_ros.model.fcrn import Fcrn

    sidecar = find_model(model)
    spec = _read_spec(sidecar)
    path = verify(sidecar, spec)
    network = Fcrn(architecture_of(spec))
    try:
        tensors = safetensors.torch.load_file(path)
    except Exception as err:
        raise ModelError(f'{path}: not a readable safetensors file: {err}') from err
    _require_match(path, network, tensors)
    network.load_state_dict(tensors)
    return network.eval(), spec


def _require_match(path: Path, network: Fcrn, tensors: dict[str, Any]) -> None:
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    differing = sorted(
        k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
    )
    if differing:
        first = differing[0]
        raise ModelError(
            f'{path}: {len(differing)} tensors differ from the architecture in the sidecar; '
            f'the first is {first}: found {found.get(first, "nothing")}, '
            f'expected {expected.get(first, "nothing")}'
        )


def save_model(network: Fcrn, spec: ModelSpec, folder: Path, dtype: str = 'float16') -> Path:
    """
    Write a model to disk.

    :param network: its architecture replaces the spec's.
    :param spec: name, input and provenance; sha256 is filled in.
    :param folder: created where it is absent; files are replaced as a whole.
    :param dtype: of the floating-point weights on disk: float16, or float32 to keep them exact.
    :return: the sidecar's path.
    :raises ModelError: a weight is not finite or does not fit ``dtype``.
    :raises ValueError: ``dtype`` is neither.
    """
    import safetensors.torch

    if dtype not in STORED_TYPES:
        raise ValueError(f'dtype is {dtype!r}; expected one of {", ".join(STORED_TYPES)}')
    tensors = {k: _stored(k, v, dtype) for k, v in network.state_dict().items()}
    data = safetensors.torch.save(tensors)
    spec = replace(
        spec,
        architecture=asdict(network.architecture),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    sidecar = folder / f'{spec.name}.json'
    write_whole(sidecar.with_suffix('.safetensors'), data)
    write_whole(sidecar, spec.to_json().encode())
    return sidecar


def _stored(name: str, tensor: Any, dtype: str) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor.contiguous()
    stored = tensor.detach().cpu().to(getattr(torch, dtype)).contiguous()
    if not stored.isfinite().all():
        raise ModelError(f'weight {name} is not finite in {dtype}')
    return stored
