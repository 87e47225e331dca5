"""The float32 ONNX of a model, in the cache: PyTorch is needed only where it is not there yet."""

from __future__ import annotations

from fcrn_ros import __version__
from fcrn_ros.engine import EngineError, Request
from fcrn_ros.engine.cache import Cache
from fcrn_ros.engine.check import network_key
from fcrn_ros.model.weights import ModelSpec


def exported(request: Request, spec: ModelSpec, cache: Cache, form: str = 'auto') -> bytes:
    """
    Return a model as ONNX in float32 for any number of pictures, exported where it is absent.

    :param form: see :func:`fcrn_ros.engine.onnx_export.export`.
    :raises EngineError: it is absent, and PyTorch or onnx is, too.
    :raises ModelError: the model is damaged.
    """

    def make() -> bytes:
        request.progress('exporting ONNX', 0.0)
        try:
            from fcrn_ros.engine.onnx_export import export
        except ImportError as err:
            raise EngineError(
                f'the ONNX of {spec.name} is not in the cache, and exporting it needs PyTorch and '
                f'onnx: {err}; pip install torch onnx, or run fcrn build where they are'
            ) from err
        return bytes(export(request.model, 'fp32', form).SerializeToString())

    key = {'package': __version__, **network_key(spec), 'precision': 'fp32', 'form': form}
    return cache.get_or_make('onnx', key, make)
