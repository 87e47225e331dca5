"""
The command line: ``fcrn``.

Exit status: 0 done, 1 the work failed, 2 wrong usage. An error is one line that names the thing
and what was expected; ``--verbose`` shows the traceback.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fcrn_ros import __version__
from fcrn_ros.bench import command as bench_command
from fcrn_ros.engine import build_command, export_command

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except KeyboardInterrupt:
        print('fcrn: interrupted', file=sys.stderr)
        return 1
    except ModuleNotFoundError as err:
        return _failed(options, f"{err}; install what it needs, see the README's extras")
    except Exception as err:  # the outermost place: every failure ends as one line
        return _failed(options, str(err) or type(err).__name__)


def _failed(options: argparse.Namespace, message: str) -> int:
    if options.verbose:
        traceback.print_exc()
    print(f'fcrn {options.command_name}: {" ".join(message.split())}', file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog='fcrn', description=__doc__.splitlines()[1])
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(dest='command_name', required=True, metavar='COMMAND')
    for name, (add, command) in COMMANDS.items():
        sub = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        sub.add_argument('--verbose', action='store_true', help='show the traceback of an error')
        add(sub)
        sub.set_defaults(command=command)
    return parser


def _intrinsics(text: str) -> tuple[float, float, float, float]:
    try:
        fx, fy, cx, cy = (float(x) for x in text.split(','))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not fx,fy,cx,cy: four numbers in pixels'
        ) from None
    return fx, fy, cx, cy


def _size(text: str) -> tuple[int, int]:
    try:
        rows, columns = (int(x) for x in text.split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not ROWSxCOLUMNS') from None
    return rows, columns


def _stems(path: Path | None) -> tuple[str, ...]:
    return tuple(path.read_text().split()) if path is not None else ()


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--model', default='', help='a shipped model or a path')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='auto')


def _pair_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--images', type=Path, required=True, help='folder of colour images')
    parser.add_argument('--depth', type=Path, required=True, help='folder of 16-bit PNGs in mm')
    parser.add_argument('--camera', type=_intrinsics, required=True, metavar='FX,FY,CX,CY')


# -- demo --------------------------------------------------------------------------------------


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--bag', type=Path, help='a ROS 1 or ROS 2 bag')
    source.add_argument('--images', type=Path, help='a folder of images')
    source.add_argument('--video', type=Path, help='a video file')
    source.add_argument('--camera', type=int, help='number of a camera of this computer')
    parser.add_argument('--topic', default='', help='the colour topic of the bag')
    parser.add_argument(
        '--intrinsics',
        type=_intrinsics,
        metavar='FX,FY,CX,CY',
        help='of images, video or camera; without it there is depth but no cloud',
    )
    parser.add_argument('--seconds', type=float, default=12.0, help='at most (default 12)')
    parser.add_argument('--out', type=Path, default=Path('demo_out'))


def demo(options: argparse.Namespace) -> int:
    """Show the whole system on the bundled clip, or on your own pictures."""
    from fcrn_ros.demo.process import prepare_environment

    prepare_environment()
    from fcrn_ros.demo.run import run_demo
    from fcrn_ros.sources import open_source

    source = open_source(
        options.bag,
        options.images,
        options.video,
        options.camera,
        options.intrinsics,
        options.topic,
    )
    names = ('model', 'backend', 'device', 'precision')
    parameters = {n: getattr(options, n) for n in names if getattr(options, n)}
    summary = run_demo(source, options.out, options.seconds, parameters)
    if not summary['frames_out']:
        print(f'fcrn demo: no depth came; see {options.out / "node.log"}', file=sys.stderr)
        return 1
    return 0


# -- doctor ------------------------------------------------------------------------------------


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--image', default='/image', help='the image topic')
    parser.add_argument('--camera-info', default='/camera_info', help='its camera_info topic')
    parser.add_argument('--model', default='', help='a shipped model or a path')
    parser.add_argument('--seconds', type=float, default=3.0, help='how long to listen')
    parser.add_argument('--json', action='store_true')


def doctor(options: argparse.Namespace) -> int:
    """Check this installation and the live graph, and say what to do."""
    from fcrn_ros.doctor import run

    return run(
        image=options.image,
        camera_info=options.camera_info,
        model=options.model,
        seconds=options.seconds,
        as_json=options.json,
    )


# -- models ------------------------------------------------------------------------------------


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('action', choices=('list', 'show', 'verify', 'import'))
    parser.add_argument(
        'model', nargs='?', default='', help="default: all, or the default model; import's file"
    )
    importing = parser.add_argument_group("import: the authors' released weights")
    importing.add_argument('--name', default='', help='of the new model')
    importing.add_argument('--out', type=Path, default=Path(), help='its folder (default: here)')
    importing.add_argument(
        '--camera',
        type=_intrinsics,
        metavar='FX,FY,CX,CY',
        help="the training camera at the network's input, where it is not known",
    )
    parser.set_defaults(wrong_usage=parser.error)


def models(options: argparse.Namespace) -> int:
    """List the shipped models, show a sidecar, verify a sha256, or import released weights."""
    from fcrn_ros.model.weights import find_model, load_spec, shipped_models, verify

    if options.action == 'import':
        return _import_model(options)
    names = [options.model] if options.model else shipped_models()
    if options.action == 'show':
        print(load_spec(options.model).to_json(), end='')
        return 0
    for name in names:
        spec = load_spec(name)
        if options.action == 'verify':
            print(f'{verify(find_model(name), spec)}: ok')
        else:
            rows, columns = spec.input_size
            print(f'{spec.name}\t{spec.architecture["encoder"]}\t{columns}x{rows}\t{spec.licence}')
    return 0


def _import_model(options: argparse.Namespace) -> int:
    if not options.model:
        options.wrong_usage('import needs FILE: .npy, .ckpt, .mat, or a .zip of one of these')
    from fcrn_ros.model.release.importer import import_release

    imported = import_release(Path(options.model), options.out, options.name, options.camera)
    print(f'{imported.sidecar}: {imported.summary()}')
    return 0


# -- train, evaluate ---------------------------------------------------------------------------


def _add_train(parser: argparse.ArgumentParser) -> None:
    from fcrn_ros.training.recipe import Recipe

    _pair_options(parser)
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--name', required=True, help='of the new model')
    parser.add_argument('--model', default='', help='a model to fine-tune')
    parser.add_argument('--test', type=Path, help='file of stems that are never read')
    parser.add_argument('--validation', type=Path, help='file of stems to validate on')
    parser.add_argument('--encoder-weights', type=Path, help='.npz; default: torchvision')
    parser.add_argument('--input-size', type=_size, default=Recipe.input_size)
    for name in ('encoder', 'block', 'loss', 'precision', 'licence'):
        parser.add_argument(f'--{name}', default=getattr(Recipe, name))
    for name in ('width', 'epochs', 'batch', 'seed', 'workers'):
        parser.add_argument(f'--{name}', type=int, default=getattr(Recipe, name))
    parser.add_argument('--rate', type=float, default=Recipe.rate)


def train(options: argparse.Namespace) -> int:
    """Train a model on a folder of pairs."""
    from dataclasses import fields

    from fcrn_ros.training.recipe import Recipe
    from fcrn_ros.training.train import train as run

    given = vars(options) | {
        'depths': options.depth,
        'intrinsics': options.camera,
        'test': _stems(options.test),
        'validation': _stems(options.validation),
    }
    recipe = Recipe(**{f.name: given[f.name] for f in fields(Recipe)})
    print(run(recipe))
    return 0


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    _pair_options(parser)
    parser.add_argument('--stems', type=Path, help='file of the stems to use; default: all')
    parser.add_argument('--scale', default='focal', choices=('focal', 'none'))
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--record', metavar='WHAT', help="write into the model's sidecar as WHAT")


def evaluate(options: argparse.Namespace) -> int:
    """Measure a model on a folder of pairs."""
    from fcrn_ros.model.weights import find_model
    from fcrn_ros.pipeline import DepthPipeline, Options
    from fcrn_ros.training import evaluate as evaluation
    from fcrn_ros.training.datasets import find_pairs, split

    pairs = find_pairs(options.images, options.depth)
    if options.stems is not None:
        _, pairs = split(pairs, _stems(options.stems))
    pipeline = DepthPipeline.open(
        options.model,
        options.backend,
        options.device,
        options.precision,
        Options(scale=options.scale),
    )
    result = evaluation.evaluate(pipeline, pairs, options.camera)
    evaluation.report(result, options.json)
    if options.record:
        evaluation.record(result, find_model(options.model), options.record)
    return 0


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command]] = {
    'demo': (_add_demo, demo),
    'doctor': (_add_doctor, doctor),
    'models': (_add_models, models),
    'export': (export_command.add_arguments, export_command.export),
    'build': (build_command.add_arguments, build_command.build),
    'train': (_add_train, train),
    'evaluate': (_add_evaluate, evaluate),
    'bench': (bench_command.add_arguments, bench_command.run),
}

if __name__ == '__main__':
    sys.exit(main())
