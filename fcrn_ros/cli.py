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

from fcrn_ros import __version__
from fcrn_ros.commands import (
    bench,
    build,
    demo,
    doctor,
    evaluate,
    export,
    models,
    nav2,
    train,
    view,
)

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
    for name, module in COMMANDS.items():
        about = module.run.__doc__
        sub = commands.add_parser(name, help=about, description=about)
        sub.add_argument('--verbose', action='store_true', help='show the traceback of an error')
        module.add_arguments(sub)
        sub.set_defaults(command=module.run)
    return parser


COMMANDS = {
    'demo': demo,
    'doctor': doctor,
    'models': models,
    'export': export,
    'build': build,
    'train': train,
    'evaluate': evaluate,
    'nav2': nav2,
    'bench': bench,
    'view': view,
}

if __name__ == '__main__':
    sys.exit(main())
