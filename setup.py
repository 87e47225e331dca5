"""Installation for colcon (ament_python) and for pip."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = 'fcrn_ros'
SHARE = f'share/{NAME}'


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Return the (target, files) pairs of a folder below share/."""
    folders = [p for p in [Path(folder), *Path(folder).rglob('*')] if p.is_dir()]
    files = {f: [str(p) for p in sorted(f.iterdir()) if p.is_file()] for f in folders}
    return [(f'{SHARE}/{f}', paths) for f, paths in files.items() if paths]


ROS = [f'ros-kilted-{name}' for name in ('sensor-msgs', 'std-msgs', 'diagnostic-msgs')]
EXTRAS = {
    'ros': ['ros-kilted-rclpy[fastrtps]', 'ros-kilted-lifecycle-msgs', *ROS],
    'demo': ['matplotlib>=3.7'],
    'train': ['lightning>=2.4', 'tensorboard>=2.15', 'h5py>=3.8', 'matplotlib>=3.7'],
    'openvino': ['openvino>=2024.4', 'onnx>=1.16'],
    'tensorrt': ['tensorrt>=8.6', 'onnx>=1.16', 'cuda-python>=12.2', 'nvidia-ml-py'],
    'rtx': ['tensorrt-rtx>=1.0', 'onnx>=1.16', 'cuda-python>=12.2', 'nvidia-ml-py'],
    'int8': ['nncf>=2.14', 'onnx>=1.16', 'onnxruntime>=1.17'],
    'import': ['scipy>=1.11'],
    'viz': ['rerun-sdk>=0.41,<0.42'],  # its layout and reader change from version to version
    'export': ['onnx>=1.16', 'onnxruntime>=1.17'],
    'dev': [
        'pytest>=8,<9',
        'pytest-xdist>=3.5',
        'hypothesis>=6.100',
        'ruff>=0.6',
        'mypy>=1.11',
        'types-PyYAML',
    ],
}

setup(
    name=NAME,
    version='0.1.0',
    description='Monocular metric depth for ROS 2, by an FCRN network',
    long_description=(Path(__file__).resolve().parent / 'README.md').read_text('utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='fcrn_ros maintainers',
    maintainer_email='maintainers@users.noreply.r-seed-11808d86.example',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    python_requires='>=3.10',
    # torch and torchvision are installed by one command, so that their versions fit
    install_requires=[
        'numpy>=1.26',
        'opencv-python-headless>=4.8,<5',
        'PyYAML>=6',
        'rich>=13',
        'rosbags>=0.10',
        'safetensors>=0.4',
        'torch>=2.2',
        'torchvision>=0.17',
    ],
    extras_require=EXTRAS,
    tests_require=['pytest'],
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        *shared('launch'),
        *shared('config'),
        *shared('models'),
        (f'{SHARE}/demo/room', glob('demo/room/*')),
    ],
    entry_points={
        'console_scripts': [
            'fcrn = fcrn_ros.cli:main',
            'depth_node = fcrn_ros.node:main',
            'demo_camera = fcrn_ros.demo.player:main',
        ]
    },
    zip_safe=True,
)
