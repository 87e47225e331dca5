"""``fcrn models``: the models on disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from fcrn_ros.commands.arguments import intrinsics


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fcrn models``."""
    parser.add_argument('action', choices=('list', 'show', 'verify', 'import'))
    parser.add_argument(
        'model', nargs='?', default='', help="default: all, or the default model; import's file"
    )
    importing = parser.add_argument_group("import: the authors' released weights")
    importing.add_argument('--name', default='', help='of the new model')
    importing.add_argument('--out', type=Path, default=Path(), help='its folder (default: here)')
    importing.add_argument(
        '--camera',
        type=intrinsics,
        metavar='FX,FY,CX,CY',
        help="the training camera at the network's input, where it is not known",
    )
    parser.set_defaults(wrong_usage=parser.error)


def run(options: argparse.Namespace) -> int:
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
