"""A MatConvNet graph of layers, and the part that each plays in the released network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fcrn_ros.model.release.names import PHASES, SCALES, STAGES
from fcrn_ros.model.weights import ModelError

# layers without parameters, through which the graph is followed
TRANSPARENT = ('dagnn.ReLU', 'dagnn.DropOut')
# (top, bottom, left, right) of each phase's convolution, as released
PADDING = {'A': (1, 1, 1, 1), 'B': (1, 0, 1, 1), 'C': (1, 1, 1, 0), 'D': (1, 0, 1, 0)}


@dataclass(frozen=True)
class Layer:
    """
    One layer of a DagNN.

    :param type: its class, such as ``dagnn.Conv``.
    :param padding: (top, bottom, left, right) [px]; empty where it is not said.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    padding: tuple[int, ...] = ()


class Graph:
    """The layers by name and by the variable that they write."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.producers = {v: layer for layer in self.layers.values() for v in layer.outputs}

    def roles(self) -> dict[str, Layer]:
        """
        Return the layers with parameters by their released names.

        :raises ModelError: a layer is missing, or is not what the released network has there.
        """
        return self._encoder() | self._decoder()

    def _encoder(self) -> dict[str, Layer]:
        names = ['conv1', 'bn_conv1']
        for stage, letters in enumerate(STAGES, 2):
            for letter in letters:
                branches = ['branch2a', 'branch2b', 'branch2c', *['branch1'] * (letter == 'a')]
                for branch in branches:
                    names += [f'{kind}{stage}{letter}_{branch}' for kind in ('res', 'bn')]
        missing = [name for name in names if name not in self.layers]
        if missing:
            raise ModelError(
                f'{len(missing)} layers of the encoder are missing; the first is {missing[0]}'
            )
        kinds = {n: 'BatchNorm' if n.startswith('bn') else 'Conv' for n in names}
        return {n: _expect(self.layers[n], kind) for n, kind in kinds.items()}

    def _decoder(self) -> dict[str, Layer]:
        top = _expect(self._producer('prediction'), 'Conv')
        roles = {'ConvPred': top}
        for scale in reversed(SCALES):
            total = _expect(self._before(top), 'Sum')
            for branch in range(2):
                top = self._branch(self._before(total, branch), f'layer{scale}', roles)
            if f'layer{scale}_br1_BN' not in roles or f'layer{scale}_br2_BN' not in roles:
                raise ModelError(
                    f'layer {total.name} does not sum two branches, one of them with a '
                    'convolution behind its dagnn.Combine'
                )
        roles['layer1_BN'] = _expect(self._before(top), 'BatchNorm')
        roles['layer1'] = _expect(self._before(roles['layer1_BN']), 'Conv')
        return roles

    def _branch(self, norm: Layer, name: str, roles: dict[str, Layer]) -> Layer:
        """Add a branch of an up-projection to the roles; return one of its four convolutions."""
        branch = f'{name}_br2'
        before = self._before(_expect(norm, 'BatchNorm'))
        if before.type == 'dagnn.Conv':
            branch = f'{name}_br1'
            roles |= {f'{name}_BN': norm, f'{name}_Conv': before}
            norm = _expect(self._before(before), 'BatchNorm')
            before = self._before(norm)
        roles[f'{branch}_BN'] = norm
        _expect(before, 'Combine')
        for index, letter in enumerate(PHASES):
            phase = _expect(self._before(before, index), 'Conv')
            _require_padding(phase, letter)
            roles[f'{branch}_Conv{letter}'] = phase
        return phase

    def _before(self, layer: Layer, index: int = 0) -> Layer:
        if index >= len(layer.inputs):
            raise ModelError(f'layer {layer.name} has {len(layer.inputs)} inputs')
        return self._producer(layer.inputs[index])

    def _producer(self, variable: str) -> Layer:
        for _ in self.layers:
            if variable not in self.producers:
                raise ModelError(f'no layer writes the variable {variable!r}')
            layer = self.producers[variable]
            if layer.type not in TRANSPARENT or not layer.inputs:
                return layer
            variable = layer.inputs[0]
        raise ModelError(f'the graph has a circle at the variable {variable!r}')


def _expect(layer: Layer, kind: str) -> Layer:
    if layer.type != f'dagnn.{kind}':
        raise ModelError(f'layer {layer.name} is a {layer.type}; expected a dagnn.{kind} there')
    return layer


def _require_padding(layer: Layer, letter: str) -> None:
    if layer.padding not in ((), PADDING[letter]):
        raise ModelError(
            f'layer {layer.name} pads (top, bottom, left, right) by {layer.padding}; '
            f'expected {PADDING[letter]}, as the released phase {letter} does'
        )
