"""What the node says of itself, on a clock that the test turns."""

import math

import pytest

from fcrn_ros.shell.health import ERROR, OK, RATE_SECONDS, STALE, WARN, WINDOW, Health


class Clock:
    """Seconds, set by the test."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(clock)


def test_levels_are_those_of_diagnostic_status():
    message = pytest.importorskip('diagnostic_msgs.msg', reason='needs diagnostic_msgs')
    status = message.DiagnosticStatus
    expected = [bytes(x)[0] for x in (status.OK, status.WARN, status.ERROR, status.STALE)]
    assert [OK, WARN, ERROR, STALE] == expected


def test_nothing_has_come_yet(health):
    assert health.level() == (STALE, 'no image has arrived')
    values = health.values()
    assert values['images in'] == values['frames out'] == values['dropped'] == '0'
    assert values['input rate [Hz]'] == '0.0'
    assert values['stamp to publish p50 [ms]'] == 'nan'
    assert values['last error'] == ''


def test_published_frames_are_healthy(health):
    health.arrived()
    health.published(0.04, 0.75)
    assert health.level() == (OK, 'depth is published')
    assert health.values()['valid share'] == '0.750'


def test_images_without_listeners_are_idle(health):
    health.arrived()
    health.dropped('nobody listens')
    assert health.level() == (OK, 'idle')


def test_silence_is_stale_and_says_how_long(health, clock):
    health.arrived()
    clock.now += RATE_SECONDS + 2
    assert health.level() == (STALE, 'no image for 7 s')
    health.arrived()
    assert health.level()[0] == OK


def test_rates_count_intervals_of_the_last_seconds(health, clock):
    """Eleven images 0.1 s apart are ten intervals in 1 s; old ones do not count."""
    health.arrived()
    clock.now += 60
    for _ in range(11):
        health.arrived()
        clock.now += 0.1
    assert health.values()['input rate [Hz]'] == '10.0'
    assert health.values()['images in'] == '12'
    clock.now += 2 * RATE_SECONDS
    assert health.values()['input rate [Hz]'] == '0.0'


def test_one_image_has_no_rate(health):
    health.published(0.1, 1.0)
    assert health.values()['output rate [Hz]'] == '0.0'


def test_latency_percentiles_are_in_milliseconds(health):
    """0 .. 100 ms in steps of 1 ms: p50 50, p95 95, p99 99."""
    for i in range(101):
        health.published(i / 1000, 1.0)
    values = health.values()
    found = [values[f'stamp to publish p{p} [ms]'] for p in (50, 95, 99)]
    assert found == ['50.0', '95.0', '99.0']


def test_latency_looks_back_on_a_window(health):
    health.published(9.0, 1.0)
    for _ in range(WINDOW):
        health.published(0.02, 1.0)
    assert health.values()['stamp to publish p99 [ms]'] == '20.0'
    assert health.values()['frames out'] == str(WINDOW + 1)


def test_drops_are_counted_by_cause(health):
    for cause in ('older than the newest', 'stale', 'older than the newest'):
        health.dropped(cause)
    values = health.values()
    assert values['dropped'] == '3'
    assert values['dropped: older than the newest'] == '2'
    assert values['dropped: stale'] == '1'
    assert list(values)[-1] == 'last error'


def test_a_drop_without_an_error_is_no_failure(health):
    health.arrived()
    for _ in range(9):
        health.dropped('older than the newest')
    assert health.level()[0] == OK


def test_failures_warn_then_are_an_error(health):
    health.arrived()
    for expected in (WARN, WARN, ERROR, ERROR):
        health.dropped('bad image', 'encoding is rgb9')
        assert health.level()[0] == expected
    assert health.level()[1] == '4 frames in a row failed: encoding is rgb9'
    assert health.values()['last error'] == 'encoding is rgb9'


def test_one_good_frame_ends_a_run_of_failures(health):
    """The last error stays readable; the level is that of now."""
    health.arrived()
    for _ in range(5):
        health.dropped('bad image', 'encoding is rgb9')
    health.published(0.05, 1.0)
    assert health.level() == (OK, 'depth is published')
    health.dropped('bad image', 'step is 7')
    assert health.level() == (WARN, 'step is 7')
    assert health.values()['last error'] == 'step is 7'


def test_failures_outrank_silence(health, clock):
    health.arrived()
    for _ in range(3):
        health.dropped('bad image', 'encoding is rgb9')
    clock.now += 60
    assert health.level()[0] == ERROR


def test_values_are_text_for_diagnostics(health):
    health.arrived()
    health.published(math.nan, math.nan)
    health.dropped('stale')
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in health.values().items())
