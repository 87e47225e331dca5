"""
OpenVINO without its telemetry.

Importing OpenVINO reports its use to its makers, over the network and from a forked process. A
robot's node does neither; without the package that does it, OpenVINO is silent.
"""

from __future__ import annotations

import sys

sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset8  # noqa: E402

__all__ = ['opset8', 'ov']
