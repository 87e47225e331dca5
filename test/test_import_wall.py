"""
The walls of the house: what each module may import.

The proof runs in a fresh interpreter, whose finders find the blocked packages nowhere, as if they
were not installed. A second test proves that these cannot be imported.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fcrn_ros

PACKAGE = Path(fcrn_ros.__file__).parent
ROS = ('rclpy', 'sensor_msgs', 'std_msgs', 'builtin_interfaces', 'diagnostic_msgs')
# the shell: these are the node, what it is made of, and the demo's processes around it
NEED_ROS = {
    'demo.player',
    'demo.recorder',
    'demo.report',
    'demo.run',
    'demo.session',
    'messages',
    'node',
    'security',
    'shell.diagnostics',
    'shell.frames',
    'shell.inputs',
    'shell.mountings',
    'shell.outputs',
    'shell.stream',
    'shell.tf',
}
WITHOUT_TORCH = (
    'camera',
    'cli',
    'cloud',
    'colormap',
    'depth_frame',
    'engine',
    'image',
    'lenses.field',
    'lenses.lens',
    'lenses.views',
    'model.weights',
    'mounting',
    'optics',
    'options',
    'parameter_files',
    'parameters',
    'pipeline',
    'recording',
    'rigid',
    'rvl',
    'scale',
    'scaling.flicker',
    'scaling.ground',
    'scaling.ground_scale',
    'scaling.scale_keeper',
    'settings',
    'share',
    'shell.health',
    'shell.worker',
    'sources',
    'space.edges',
    'space.obstacles',
    'space.scan',
    'space.surroundings',
    'space.sweep',
    'space.voxels',
    'transforms',
)
BLOCKER = """
import sys

class Wall:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in BLOCKED:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

BLOCKED = set(sys.argv[1].split(','))
sys.meta_path[:] = [Wall(finder) for finder in sys.meta_path]
"""


def _modules():
    """Return every module of the package by name, without the package's own."""
    names = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        name = '.'.join(p for p in parts if p != '__init__')
        if name:
            names[name] = path
    return names


def _behind_the_wall(code, blocked, *arguments):
    """Run code in a fresh interpreter that cannot import the blocked packages."""
    return subprocess.run(
        [sys.executable, '-c', BLOCKER + code, ','.join(blocked), *map(str, arguments)],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=240,
    )


def _import(names, blocked):
    """Import modules in one interpreter; return the process, whose output names the failures."""
    code = """
import importlib
for name in sys.argv[2:]:
    try:
        importlib.import_module('fcrn_ros.' + name)
    except Exception as err:
        print(f'{name}: {type(err).__name__}: {err}')
loaded = BLOCKED & set(sys.modules)
assert not loaded, loaded
"""
    return _behind_the_wall(code, blocked, *names)


def _require_clean(process):
    assert (process.returncode, process.stdout) == (0, ''), process.stdout + process.stderr


def test_everything_but_the_shell_imports_without_ros_and_tensorrt():
    names = [n for n in _modules() if n not in NEED_ROS and not n.endswith('__main__')]
    assert len(names) > 25 and 'pipeline' in names and 'sources' in names
    _require_clean(_import(names, (*ROS, 'tensorrt')))


def test_the_middle_imports_without_torch():
    assert set(WITHOUT_TORCH) <= set(_modules())
    _require_clean(_import(WITHOUT_TORCH, (*ROS, 'tensorrt', 'torch', 'torchvision')))


def test_commands_start_without_opencv():
    """It is loaded by what needs pictures or lenses, not by every command's start."""
    _require_clean(_import(['cli', 'camera'], ('cv2',)))


@pytest.mark.parametrize(
    ('name', 'blocked', 'missing'),
    [
        ('node', ROS, 'rclpy'),
        ('messages', ROS, 'builtin_interfaces'),
        ('camera', ('numpy',), 'numpy'),
        ('model.fcrn', ('torch',), 'torch'),
    ],
)
def test_the_wall_stands(name, blocked, missing):
    """The tests above can fail: a module that needs a blocked package does not import."""
    process = _import([name], blocked)
    assert process.stdout == f"{name}: ModuleNotFoundError: No module named '{missing}'\n", (
        process.stdout + process.stderr
    )


def test_only_what_needs_ros_is_excused():
    """A module of the shell that imports without ROS belongs to the middle."""
    process = _import(sorted(NEED_ROS), ROS)
    failed = {line.partition(':')[0] for line in process.stdout.splitlines()}
    assert failed == NEED_ROS


INFER = """
import numpy as np
from fcrn_ros.camera import Camera
from fcrn_ros.pipeline import DepthPipeline

pipeline = DepthPipeline.open(sys.argv[2], 'torch', 'cpu', 'fp32')
image = np.full((48, 80, 3), 90, np.uint8)
frame = pipeline(image, Camera(80, 48, 70.0, 72.0, 38.0, 25.0))
print(pipeline.engine.name, frame.depth.shape, frame.points().shape)
loaded = BLOCKED & set(sys.modules)
assert not loaded, loaded
"""


def test_inference_runs_without_ros_torchvision_and_lightning(tiny_model):
    blocked = (*ROS, 'tensorrt', 'torchvision', 'lightning', 'pytorch_lightning', 'rosbags')
    process = _behind_the_wall(INFER, blocked, tiny_model)
    assert process.returncode == 0, process.stderr
    assert process.stdout == 'torch (32, 48) (32, 48, 3)\n'


def test_inference_without_torch_says_what_it_needs(tiny_model):
    process = _behind_the_wall(INFER, ('torch',), tiny_model)
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert last.endswith(
        "backend torch needs PyTorch: pip install torch (No module named 'torch')"
    )


# By reading the source


def _imports(path, top_level_only=False):
    """
    Return the packages that a module imports.

    With ``top_level_only``, those inside functions and under TYPE_CHECKING are left out.
    """
    found = set()

    def visit(node):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition('.')[0])
        if top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        checking = isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING'
        for child in node.orelse if top_level_only and checking else ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def test_reader_of_imports_sees_them(tmp_path):
    path = tmp_path / 'module.py'
    path.write_text(
        'import a.b\nfrom c.d import e\nif TYPE_CHECKING:\n    import f\nelse:\n    import g\n'
        'try:\n    import h\nexcept ImportError:\n    pass\ndef i():\n    from j import k\n'
    )
    assert _imports(path) == {'a', 'c', 'f', 'g', 'h', 'j'}
    assert _imports(path, top_level_only=True) == {'a', 'c', 'g', 'h'}


def test_tensorrt_is_imported_nowhere():
    assert [n for n, path in _modules().items() if 'tensorrt' in _imports(path)] == []


SHELLS = ('demo', 'doctor', 'shell', 'viewer')


def test_rclpy_is_imported_in_the_shell_alone():
    allowed = {'node', 'parameters', 'bench.end_to_end', 'security'}
    found = {n for n, path in _modules().items() if 'rclpy' in _imports(path)}
    outside = {n for n in found - allowed if n.partition('.')[0] not in SHELLS}
    assert outside == set()
    assert {'node', 'parameters'} <= found


LATE = ('parameters', 'doctor', 'doctor.listening', 'doctor.graph', 'bench.end_to_end')


@pytest.mark.parametrize('name', LATE)
def test_rclpy_is_imported_late_where_it_may_be_absent(name):
    assert not {'rclpy', 'rcl_interfaces'} & _imports(_modules()[name], top_level_only=True)


def test_middle_knows_no_message_types():
    """
    The middle never touches sensor_msgs: it reads whatever has the right fields.

    The doctor and the end-to-end measurement name the types that they subscribe to.
    """
    readers = {'bench.end_to_end'} | {n for n in _modules() if n.startswith(('doctor', 'viewer'))}
    names = [n for n in _modules() if n not in NEED_ROS | readers]
    assert [n for n in names if 'sensor_msgs' in _imports(_modules()[n])] == []


def test_networks_know_nothing_of_ros_or_pipelines():
    """A module imports only from rooms earlier on the way."""
    later = {'pipeline', 'cloud', 'messages', 'node', 'parameters', 'cli', 'recording'}
    for name, path in _modules().items():
        if name.partition('.')[0] in ('model', 'camera', 'image', 'scale'):
            text = path.read_text()
            assert not [r for r in later if f'fcrn_ros.{r} ' in text], name
