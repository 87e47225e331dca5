"""Memory and energy, as the machine tells them."""

import mmap

import pytest

from fcrn_ros.bench.meters import Gpu, energy_counters, joules_per_call, memory_mib


def _zone(folder, name, title, microjoules):
    zone = folder / name
    zone.mkdir()
    (zone / 'name').write_text(f'{title}\n')
    (zone / 'energy_uj').write_text(f'{microjoules}\n')
    (zone / 'max_energy_range_uj').write_text('1000000\n')
    return zone / 'energy_uj'


@pytest.fixture
def gpu():
    found = Gpu()
    found.handle = None
    return found


def test_memory_grows_by_what_is_taken():
    """64 MiB of fresh pages, which no earlier test has left behind, are resident once written."""
    peak, before = memory_mib()
    if peak is None:
        pytest.skip('needs /proc')
    taken = mmap.mmap(-1, 64 * 2**20)
    for page in range(0, len(taken), mmap.PAGESIZE):
        taken[page] = 1
    assert memory_mib()[1] - before == pytest.approx(64, abs=16)
    assert memory_mib()[0] >= memory_mib()[1] > 0


def test_packages_are_counted_and_their_parts_are_not(tmp_path, gpu):
    """A zone within a package, and the platform around it, would count the same energy twice."""
    _zone(tmp_path, 'intel-rapl:0', 'package-0', 5)
    _zone(tmp_path, 'intel-rapl:1', 'package-1', 5)
    _zone(tmp_path, 'intel-rapl:0:0', 'core', 5)
    _zone(tmp_path, 'intel-rapl:2', 'psys', 5)
    assert sorted(energy_counters(gpu, tmp_path)) == ['intel-rapl:0', 'intel-rapl:1']


def test_a_counter_goes_on_where_it_begins_anew(tmp_path, gpu):
    """0.9 J, then 0.2 J after a turn at 1 J: 0.3 J between them."""
    file = _zone(tmp_path, 'intel-rapl:0', 'package-0', 900000)
    read = energy_counters(gpu, tmp_path)['intel-rapl:0']
    first = read()
    file.write_text('200000\n')
    assert read() - first == pytest.approx(0.3)


def test_a_counter_that_cannot_be_read_is_left_out(tmp_path, gpu):
    _zone(tmp_path, 'intel-rapl:0', 'package-0', 'none')
    assert energy_counters(gpu, tmp_path) == {}
    assert energy_counters(gpu, tmp_path / 'nowhere') == {}


def test_energy_is_shared_among_the_calls():
    """Each call adds 2 J to one counter and 1 J to the other: 3 J a call."""
    used = {'a': 10.0, 'b': 20.0}

    def call():
        used['a'] += 2
        used['b'] += 1

    counters = {name: lambda name=name: used[name] for name in used}
    assert joules_per_call(call, counters, seconds=0.01) == pytest.approx(3.0)
    assert joules_per_call(call, {}) is None
