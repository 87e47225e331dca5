"""
The paper's table of up-sampling blocks and losses, each trained alike on one small budget.

    python benchmarks/blocks_and_losses.py --data nyu/ --camera 518.9,519.5,325.6,253.7 \
        --encoder-weights mobilenet_v2_imagenet.npz --test test.txt --validation validation.txt

prints a Markdown table: measured on the validation samples, which no choice here depends on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import torch

from fcrn_ros.commands.arguments import intrinsics, size, stems
from fcrn_ros.model.fcrn import Architecture, Fcrn
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.training.dataset import Data
from fcrn_ros.training.evaluation.evaluate import evaluate
from fcrn_ros.training.fit import Machines
from fcrn_ros.training.recipe import FRESH, Recipe
from fcrn_ros.training.sources.openers import Options, Weighted, open_samples
from fcrn_ros.training.train import train

BLOCKS = ('deconv2', 'deconv3', 'upconv', 'upproj')
LOSSES = ('l2', 'berhu')
MEASURES = ('absrel', 'rmse', 'log10', 'delta1', 'delta2', 'delta3')


def main() -> None:
    """Train and measure every pair; a pair that is done already is not trained again."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    source = Weighted(open_samples(options.data, Options(camera=options.camera)))
    held = stems(options.test), stems(options.validation)
    data = Data((source,), *held, options.out / 'cache')
    print('| block | loss | parameters of the decoder [M] |', ' | '.join(MEASURES), '|')
    print('|---' * (3 + len(MEASURES)) + '|')
    for block, loss in itertools.product(BLOCKS, LOSSES):
        measured = _measured(options, data, block, loss)
        numbers = ' | '.join(f'{measured[name]:.3f}' for name in MEASURES)
        print(f'| {block} | {loss} | {_decoder(block) / 1e6:.2f} | {numbers} |', flush=True)


def _measured(options: argparse.Namespace, data: Data, block: str, loss: str) -> dict[str, float]:
    name = f'{block}_{loss}'
    file = options.out / f'{name}.json'
    if not file.exists():
        recipe = Recipe(
            model=FRESH,
            block=block,
            loss=loss,
            gradient=0.0,
            encoder_weights=str(options.encoder_weights),
            input_size=options.input_size,
            steps=options.steps,
            seed=options.seed,
        )
        machines = Machines(logger='none', workers=options.workers)
        outcome = train(data, recipe, machines, options.out / name, name)
        assert outcome is not None
        pipeline = DepthPipeline.open(str(outcome.sidecar), 'torch', precision='fp32')
        portion = outcome.portions[0]
        samples = (portion.store[i] for i in portion.validation)
        file.write_text(json.dumps(evaluate(pipeline, samples).pooled))
    measured: dict[str, float] = json.loads(file.read_text())
    return measured


def _decoder(block: str) -> int:
    network = Fcrn(Architecture('mobilenet_v2', block, width=Recipe.width))
    encoder = {id(p) for p in network.encoder.parameters()}
    return sum(p.numel() for p in network.parameters() if id(p) not in encoder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--camera', type=intrinsics)
    parser.add_argument('--test', type=Path, required=True, help='names that are never read')
    parser.add_argument('--validation', type=Path, required=True)
    parser.add_argument('--encoder-weights', type=Path, required=True)
    parser.add_argument('--out', type=Path, default=Path('blocks_and_losses'))
    parser.add_argument('--input-size', type=size, default=(96, 128))
    parser.add_argument('--steps', type=int, default=600)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--workers', type=int, default=1)
    return parser.parse_args()


if __name__ == '__main__':
    main()
