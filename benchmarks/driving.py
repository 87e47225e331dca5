"""
Everything that docs/driving_measured.md says: phantoms, confidence, scale, floor, times, cameras.

    python benchmarks/driving.py --data DIR [--out docs/driving_measured.md]

runs the other scripts one after another, each on one core but the last, and writes what they print
into one file. It takes about ten minutes on an idle machine. DIR has the folders kitchen_video,
headset_video and nyu_v2_train; the rendered clip comes with the package.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# heading, script, whether it reads the recorded data, further arguments
PARTS: tuple[tuple[str, str, bool, tuple[str, ...]], ...] = (
    ('Phantom points and confidence', 'edges_and_confidence.py', True, ()),
    ('Scale by the floor', 'ground_scale.py', True, ()),
    ('Clouds and scan', 'clouds.py', False, ()),
    ('Two cameras at 15 Hz on one node', 'cameras.py', False, ()),
    ('Two cameras, every cloud and the scan read too', 'cameras.py', False, ('--all',)),
)
HEAD = """# What was measured for driving

Written by `python benchmarks/driving.py --data DIR`. [driving.md](driving.md) says what it means.
"""


def main() -> int:
    """Run every part and write the file; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', type=Path, required=True, help='folder of recorded videos')
    parser.add_argument('--out', type=Path, default=HERE.parent / 'docs' / 'driving_measured.md')
    options = parser.parse_args()
    text = HEAD
    for heading, script, recorded, more in PARTS:
        print(f'{heading} ...', file=sys.stderr)
        data = ('--data', str(options.data)) if recorded else ()
        text += f'\n## {heading}\n\n`benchmarks/{" ".join((script, *more))}`\n\n'
        text += _output(script, (*data, *more)).strip() + '\n'
    options.out.write_text(text)
    return 0


def _output(script: str, arguments: tuple[str, ...]) -> str:
    threads = {} if script == 'cameras.py' else {'OMP_NUM_THREADS': '1'}
    paths = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get('PYTHONPATH', ''))))
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        env={**os.environ, **threads, 'PYTHONPATH': paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == '__main__':
    sys.exit(main())
