"""
The released FCRN network in plain NumPy, written from its published description alone.

It shares no code with the package: arrays are (H, W, C) float64, kernels (kh, kw, in, out) as
TensorFlow stores them, and a convolution is a sum over its taps. Slow; meant for inputs of some
forty pixels.

Layers are named as in the released files: ``{layer: {parameter: array}}``, the parameters being
weights and biases of a convolution, or scale, offset, mean and variance of a normalisation.
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-4
# stage: bottleneck width and blocks
STAGES = {2: (64, 'abc'), 3: (128, 'abcd'), 4: (256, 'abcdef'), 5: (512, 'abc')}
# letter: kernel (h, w), padding (top, bottom, left, right), first output row and column
PHASES = {
    'A': ((3, 3), (1, 1, 1, 1), (0, 0)),
    'B': ((2, 3), (1, 0, 1, 1), (1, 0)),
    'C': ((3, 2), (1, 1, 1, 0), (0, 1)),
    'D': ((2, 2), (1, 0, 1, 0), (1, 1)),
}
UP = {'2x': (1024, 512), '4x': (512, 256), '8x': (256, 128), '16x': (128, 64)}


def convolve(x, kernel, bias=0.0, stride=1, padding=None):
    """Correlate x (H, W, in) with a kernel; padding is (top, bottom, left, right)."""
    kh, kw = kernel.shape[:2]
    top, bottom, left, right = padding or (((kh - 1) // 2,) * 2 + ((kw - 1) // 2,) * 2)
    x = np.pad(x, ((top, bottom), (left, right), (0, 0)))
    rows = (x.shape[0] - kh) // stride + 1
    columns = (x.shape[1] - kw) // stride + 1
    y = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(kh):
        for j in range(kw):
            seen = x[i : i + stride * rows : stride, j : j + stride * columns : stride]
            y += np.einsum('hwi,io->hwo', seen[:rows, :columns], kernel[i, j], optimize=True)
    return y + bias


def normalise(x, layer, epsilon=EPSILON):
    """Batch normalisation with running statistics."""
    deviation = np.sqrt(layer['variance'] + epsilon)
    return (x - layer['mean']) / deviation * layer['scale'] + layer['offset']


def relu(x):
    """Return x, with 0 in place of negative values."""
    return np.maximum(x, 0)


def same_pool(x):
    """
    Max-pool 3x3 with stride 2 and TensorFlow's SAME padding.

    out = ceil(n / 2); total padding = max((out - 1) * 2 + 3 - n, 0), the smaller half in front.
    """
    rows, columns = -(-x.shape[0] // 2), -(-x.shape[1] // 2)
    pads = []
    for n, out in zip(x.shape[:2], (rows, columns), strict=True):
        total = max((out - 1) * 2 + 3 - n, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, (*pads, (0, 0)), constant_values=-np.inf)
    y = np.full((rows, columns, x.shape[2]), -np.inf)
    for r in range(rows):
        for c in range(columns):
            y[r, c] = x[2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max((0, 1))
    return y


def interleave(x, layers, prefix):
    """Four convolutions padded at the top and left, each writing one phase of the output."""
    outputs = layers[f'{prefix}_ConvA']['weights'].shape[3]
    y = np.empty((2 * x.shape[0], 2 * x.shape[1], outputs))
    for letter, (_, padding, (row, column)) in PHASES.items():
        layer = layers[f'{prefix}_Conv{letter}']
        y[row::2, column::2] = convolve(x, layer['weights'], layer['biases'], 1, padding)
    return y


def unpool(x):
    """Write zeros to the right of and below every pixel."""
    y = np.zeros((2 * x.shape[0], 2 * x.shape[1], x.shape[2]))
    y[0::2, 0::2] = x
    return y


def bottleneck(x, layers, name, stride):
    """ResNet v1: the stride lies in branch2a and branch1, both 1x1."""

    def conv_norm(x, branch, stride=1):
        y = convolve(x, layers[f'res{name}_{branch}']['weights'], 0.0, stride)
        return normalise(y, layers[f'bn{name}_{branch}'])

    y = relu(conv_norm(x, 'branch2a', stride))
    y = relu(conv_norm(y, 'branch2b'))
    y = conv_norm(y, 'branch2c')
    shortcut = conv_norm(x, 'branch1', stride) if f'res{name}_branch1' in layers else x
    return relu(y + shortcut)


def up_project(x, layers, name):
    """Two interleaved branches of one input; the first is refined by a 3x3; sum, ReLU."""
    first = relu(normalise(interleave(x, layers, f'{name}_br1'), layers[f'{name}_br1_BN']))
    conv = layers[f'{name}_Conv']
    first = normalise(convolve(first, conv['weights'], conv['biases']), layers[f'{name}_BN'])
    second = normalise(interleave(x, layers, f'{name}_br2'), layers[f'{name}_br2_BN'])
    return relu(first + second)


def fcrn(layers, image):
    """Return (h, w) depth [m] of an (H, W, 3) RGB image in 0..255."""
    x = convolve(image, layers['conv1']['weights'], layers['conv1']['biases'], 2)
    x = same_pool(relu(normalise(x, layers['bn_conv1'])))
    for stage, (_, blocks) in STAGES.items():
        for block in blocks:
            x = bottleneck(x, layers, f'{stage}{block}', 2 if stage > 2 and block == 'a' else 1)
    x = convolve(x, layers['layer1']['weights'], layers['layer1']['biases'])
    x = normalise(x, layers['layer1_BN'])
    for scale in UP:
        x = up_project(x, layers, f'layer{scale}')
    return relu(convolve(x, layers['ConvPred']['weights'], layers['ConvPred']['biases']))[..., 0]


def release_shapes():
    """Return every convolution: {name: (kernel shape, has a bias, name of its BN)}."""
    shapes = {'conv1': ((7, 7, 3, 64), True, 'bn_conv1')}
    inputs = 64
    for stage, (width, blocks) in STAGES.items():
        for block in blocks:
            name = f'{stage}{block}'
            kernels = {
                'branch2a': (1, 1, inputs, width),
                'branch2b': (3, 3, width, width),
                'branch2c': (1, 1, width, 4 * width),
            }
            if block == 'a':
                kernels['branch1'] = (1, 1, inputs, 4 * width)
            for branch, kernel in kernels.items():
                shapes[f'res{name}_{branch}'] = (kernel, False, f'bn{name}_{branch}')
            inputs = 4 * width
    shapes['layer1'] = ((1, 1, 2048, 1024), True, 'layer1_BN')
    for scale, (inputs, outputs) in UP.items():
        for branch in ('br1', 'br2'):
            for letter, (kernel, _, _) in PHASES.items():
                name = f'layer{scale}_{branch}_Conv{letter}'
                shapes[name] = ((*kernel, inputs, outputs), True, f'layer{scale}_{branch}_BN')
        shapes[f'layer{scale}_Conv'] = ((3, 3, outputs, outputs), True, f'layer{scale}_BN')
    shapes['ConvPred'] = ((3, 3, 64, 1), True, '')
    return shapes


def random_release(seed):
    """
    Return random layers in the layout of the released files, float32.

    Variances lie between 0.001 and 1, so that epsilon counts, and each kernel is scaled to its
    variance, so that activations stay near 1. Biases and means differ in every channel. Residual
    branches are damped: sixteen of them add up.
    """
    rng = np.random.default_rng(seed)
    layers = {}
    for name, (kernel, biased, norm) in release_shapes().items():
        outputs = kernel[3]
        if norm and norm not in layers:
            damping = 0.3 if name.endswith('branch2c') else 1.0
            layers[norm] = {
                'scale': rng.uniform(0.7, 1.5, outputs) * damping,
                'offset': rng.normal(0.1, 0.3, outputs) * damping,
                'variance': 10 ** rng.uniform(-3, 0, outputs),
                'mean': rng.normal(0, 0.1, outputs),
            }
        deviation = np.sqrt(layers[norm]['variance']) if norm else np.ones(outputs)
        size = np.prod(kernel[:3]) * (150**2 if name == 'conv1' else 1)
        weights = rng.standard_normal(kernel, np.float32) * (deviation / np.sqrt(size))
        layers[name] = {'weights': weights}
        if norm:
            layers[norm]['mean'] = rng.normal(0, 0.3, outputs) * deviation
        if biased:
            layers[name]['biases'] = rng.normal(0, 0.3, outputs) * deviation
    return {n: {k: v.astype(np.float32) for k, v in a.items()} for n, a in layers.items()}
