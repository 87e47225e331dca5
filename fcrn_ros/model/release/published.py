"""
What the authors published about the released networks: where, for which camera, how good.

Laina et al. 2016 (arXiv 1606.00373) and their repository. Both networks take RGB in 0..255 without
mean subtraction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fcrn_ros import __version__
from fcrn_ros.camera import Camera
from fcrn_ros.model.fcrn import RELEASED
from fcrn_ros.model.weights import ModelError, ModelSpec

PAPER = 'Laina et al. 2016 (arXiv 1606.00373)'
FOLDER = 'http://campar.in.tum.de/files/rupprecht/depthpred'
# sha256 of released files that are known from elsewhere than a user's own copy
KNOWN = {
    '9d97ed165c4a5b3f085eb83b8814de1e883c6348da60da4b2568ddd64bb2d5c4': (
        'NYU_FCRN-checkpoint.zip, 472,588,519 bytes'
    ),
}
# NYU Depth v2's Kinect at 640 x 480: the dataset's own calibration of its colour camera
KINECT = Camera(640, 480, 518.8579, 519.4696, 325.5824, 253.7362)

Intrinsics = tuple[float, float, float, float]


@dataclass(frozen=True)
class Release:
    """
    One released network.

    :param image_size: (rows, columns) that a ``.mat`` says [px].
    :param input_size: (rows, columns) that the model on disk says [px].
    :param camera: of the input image; None where the authors do not say.
    :param metrics: as published, pooled over all pixels; not measured here.
    """

    name: str
    data: str
    image_size: tuple[int, int]
    input_size: tuple[int, int]
    camera: Camera | None
    depth_range: tuple[float, float]
    files: tuple[str, ...]
    metrics: dict[str, Any] = field(default_factory=dict)

    def spec(self, name: str, camera: Intrinsics | None, sha256: dict[str, str]) -> ModelSpec:
        """
        Return the sidecar of an imported model.

        :param name: of the model; '' for the release's own.
        :param camera: fx, fy, cx, cy [px] at ``input_size``; None for the release's own.
        :param sha256: of the imported files, by name.
        :raises ModelError: the camera is neither given nor known.
        """
        return ModelSpec(
            name=name or self.name,
            architecture=asdict(RELEASED),
            input_size=self.input_size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            camera=self._intrinsics(camera),
            depth_range=self.depth_range,
            licence='BSD-2-Clause',
            provenance=self._provenance(sha256),
            metrics={'published': {'source': f'{PAPER}; not measured here', **self.metrics}},
        )

    def _intrinsics(self, given: Intrinsics | None) -> dict[str, float]:
        names = ('fx', 'fy', 'cx', 'cy')
        if given is not None:
            return dict(zip(names, given, strict=True))
        if self.camera is None:
            rows, columns = self.input_size
            raise ModelError(
                f'the camera of {self.data} is not published; give --camera fx,fy,cx,cy of its '
                f'{columns}x{rows} input image'
            )
        return {n: getattr(self.camera, n) for n in names}

    def _provenance(self, sha256: dict[str, str]) -> dict[str, Any]:
        known = [KNOWN[digest] for digest in sha256.values() if digest in KNOWN]
        return {
            'data': self.data,
            'recipe': f'{PAPER}: berHu loss, SGD',
            'started_from': 'ImageNet encoder ResNet-50',
            'published_at': [f'{FOLDER}/{file}' for file in self.files],
            'imported_from': sha256,
            'known_file': known[0] if known else '',
            'versions': f'fcrn_ros {__version__}',
        }


NYU = Release(
    name='fcrn_resnet50_nyu',
    data='NYU Depth v2, raw training scenes',
    image_size=(228, 304),
    input_size=(228, 304),
    camera=KINECT.resized(320, 240).cropped(8, 6, 304, 228),
    depth_range=(0.7, 10.0),  # of the dataset's Kinect
    files=('NYU_ResNet-UpProj.npy', 'NYU_FCRN-checkpoint.zip', 'NYU_ResNet-UpProj.zip'),
    metrics={
        'data': 'NYU Depth v2, 654 test images',
        'pooled': {
            'absrel': 0.127,
            'rmse': 0.573,
            'log10': 0.055,
            'delta1': 0.811,
            'delta2': 0.953,
            'delta3': 0.988,
        },
    },
)

# The authors ran 230 x 173, where MatConvNet pools an odd number of rows from the first row on and
# the network on disk, as TensorFlow, from the row before it. At 232 x 176 they pool alike.
MAKE3D = Release(
    name='fcrn_resnet50_make3d',
    data='Make3D',
    image_size=(230, 173),
    input_size=(232, 176),
    camera=None,
    depth_range=(0.0, 70.0),  # what the authors evaluate
    files=('Make3D_ResNet-UpProj.zip',),
    metrics={
        'data': 'Make3D, 134 test images, nearer than 70 m, at 230 x 173',
        'pooled': {'absrel': 0.175, 'rmse': 4.45, 'log10': 0.072},
    },
)
RELEASES = (NYU, MAKE3D)


def release_of(file_name: str, image_size: tuple[int, int] | None) -> Release:
    """
    Say which release a file is: by the input size that it states, else by its name.

    :raises ModelError: it states an input size that no release has.
    """
    if image_size is None:
        return MAKE3D if 'make3d' in file_name.lower() else NYU
    for release in RELEASES:
        if image_size == release.image_size:
            return release
    sizes = ', '.join(f'{r.image_size} ({r.data})' for r in RELEASES)
    raise ModelError(f'its input size is {image_size}; expected one of {sizes}')
