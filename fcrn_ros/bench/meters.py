"""What a process takes beside time: memory, and energy where the board counts it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEBI = 2**20
ENERGY_SECONDS = 2.0  # that a call is repeated: counters move every 1 to 100 ms
POWERCAP = Path('/sys/class/powercap')
Joules = Callable[[], float]


def memory_mib() -> tuple[float | None, float | None]:
    """
    Return the peak and the present resident memory of this process [MiB].

    The kernel's figures of this program alone: getrusage would count its parent's peak in.
    """
    try:
        status = Path('/proc/self/status').read_text()
    except OSError:
        return None, None
    found = dict(re.findall(r'^(VmHWM|VmRSS):\s+(\d+) kB', status, re.M))
    peak, resident = (round(int(found[name]) / 1024, 1) for name in ('VmHWM', 'VmRSS'))
    return peak, resident


class Gpu:
    """
    The first NVIDIA GPU's own counters, read by NVML.

    :ivar handle: None where there is no GPU, or pynvml is not installed.
    """

    def __init__(self) -> None:
        self.handle: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self.handle = pynvml.nvmlDeviceGetHandleByIndex(_first_visible())
            self._nvml = pynvml
            self._before = self._used()
        except Exception:  # no library, no driver, no permission: all mean that nothing is told
            self.handle = None

    def memory_mib(self) -> float | None:
        """
        Return what this process has taken of the GPU's memory [MiB].

        By NVML the growth since this object was made, context included; without it PyTorch's own.
        """
        if self.handle is not None:
            return round((self._used() - self._before) / MEBI, 1)
        torch = sys.modules.get('torch')
        if torch is None or not torch.cuda.is_initialized():
            return None
        return round(torch.cuda.max_memory_reserved() / MEBI, 1)

    def joules(self) -> float:
        """Return the energy since the driver was loaded [J]."""
        return 1e-3 * self._nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)

    def _used(self) -> float:
        return float(self._nvml.nvmlDeviceGetMemoryInfo(self.handle).used)


def _first_visible() -> int:
    first = os.environ.get('CUDA_VISIBLE_DEVICES', '').partition(',')[0]
    return int(first) if first.isdigit() else 0


def energy_counters(gpu: Gpu, folder: Path = POWERCAP) -> dict[str, Joules]:
    """Return the counters that can be read here, by name: of processor packages and the GPU."""
    found: dict[str, Joules] = {}
    for zone in sorted(folder.glob('*:*')):
        if re.fullmatch(r'[\w-]+:\d+', zone.name) and _is_package(zone):
            found[zone.name] = _Package(zone)
    if gpu.handle is not None:
        try:
            gpu.joules()
            found['nvml'] = gpu.joules
        except gpu._nvml.NVMLError:  # older than Volta, or a Jetson
            pass
    return found


def _is_package(zone: Path) -> bool:
    try:
        int((zone / 'energy_uj').read_text())  # root's alone on many systems
        return (zone / 'name').read_text().startswith('package')
    except (OSError, ValueError):
        return False


class _Package:
    """A powercap zone's counter [J], which begins anew at its range."""

    def __init__(self, zone: Path) -> None:
        self._file = zone / 'energy_uj'
        self._range = int((zone / 'max_energy_range_uj').read_text())
        self._last, self._turns = 0, 0

    def __call__(self) -> float:
        now = int(self._file.read_text())
        self._turns += now < self._last
        self._last = now
        return 1e-6 * (now + self._turns * self._range)


def joules_per_call(
    call: Callable[[], object], counters: dict[str, Joules], seconds: float = ENERGY_SECONDS
) -> float | None:
    """Return what a call costs [J], idle power included; None where nothing counts it."""
    if not counters:
        return None
    before = {name: read() for name, read in counters.items()}
    calls, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        call()
        calls += 1
    return sum(read() - before[name] for name, read in counters.items()) / calls
