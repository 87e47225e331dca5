"""The node's parameters: one table, and what it refuses."""

import math
import re

import pytest

from fcrn_ros import parameters
from fcrn_ros.mounting import Mounting
from fcrn_ros.options import Options
from fcrn_ros.parameters import checked, settings_from
from fcrn_ros.settings import PARAMETERS, Settings

DEFAULTS = {name: getattr(Settings(), name) for name in PARAMETERS}
NUMBERS = [n for n, v in DEFAULTS.items() if isinstance(v, float)]
CHOICES = [n for n, p in PARAMETERS.items() if p.choices]


# The table


def test_every_default_is_allowed():
    assert settings_from(DEFAULTS) == Settings()
    assert settings_from({}) == Settings()


@pytest.mark.parametrize('name', PARAMETERS)
def test_every_parameter_says_what_it_is(name):
    parameter = PARAMETERS[name]
    assert parameter.description.endswith(('.', ').'))
    assert '\n' not in parameter.description
    if name in NUMBERS:
        assert parameter.low < parameter.high and not parameter.choices


def test_expected_is_said_in_words():
    assert PARAMETERS['scale'].expected == 'one of none, focal, ground'
    assert PARAMETERS['min_confidence'].expected == '0 to 1'
    assert PARAMETERS['model'].expected == PARAMETERS['autostart'].expected == ''


def test_what_opens_the_engine_cannot_change_live():
    """A node cannot swap its network, or the topic it reads, between two frames."""
    fixed = {name for name, parameter in PARAMETERS.items() if not parameter.live}
    assert {'model', 'backend', 'device', 'precision', 'image_transport'} <= fixed
    assert {
        'min_range',
        'max_range',
        'scale',
        'resolution',
        'max_rate',
        'colormap',
    } & fixed == set()


# One value


@pytest.mark.parametrize('name', CHOICES)
def test_every_choice_is_allowed_and_another_is_not(name):
    for choice in PARAMETERS[name].choices:
        assert checked(name, choice) == choice
    listed = re.escape(', '.join(PARAMETERS[name].choices))
    with pytest.raises(ValueError, match=f"parameter {name} is 'Auto'; expected one of {listed}"):
        checked(name, 'Auto')


@pytest.mark.parametrize('name', NUMBERS)
def test_bounds_are_allowed_and_beyond_is_not(name):
    low, high = PARAMETERS[name].low, PARAMETERS[name].high
    assert (checked(name, low), checked(name, high)) == (low, high)
    for value in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan):
        with pytest.raises(ValueError) as error:
            checked(name, value)
        assert str(error.value) == f'parameter {name} is {value!r}; expected {low:g} to {high:g}'


def test_a_whole_number_is_taken_for_a_float():
    """YAML's 5 is 5.0; true is no number."""
    value = checked('max_range', 5)
    assert value == 5.0 and type(value) is float
    with pytest.raises(ValueError, match='parameter max_range is True; expected a number'):
        checked('max_range', True)


def test_a_count_is_whole_and_within_its_bounds():
    assert checked('threads', 0) == 0 and checked('threads', 256) == 256
    for value in (-1, 257):
        with pytest.raises(ValueError, match=f'threads is {value}; expected 0 to 256'):
            checked('threads', value)


@pytest.mark.parametrize(
    ('name', 'value', 'expected'),
    [
        ('threads', 2.0, 'a whole number'),
        ('threads', True, 'a whole number'),
        ('min_range', '0.5', 'a number'),
        ('min_range', None, 'a number'),
        ('min_range', [0.5], 'a number'),
        ('autostart', 1, 'true or false'),
        ('autostart', 'true', 'true or false'),
        ('model', 3, 'text'),
        ('scale', False, 'text'),  # what YAML makes of an unquoted off
    ],
)
def test_value_of_another_type_is_refused(name, value, expected):
    message = re.escape(f'parameter {name} is {value!r}; expected {expected}')
    with pytest.raises(ValueError, match=message):
        checked(name, value)


def test_unknown_parameter_is_refused():
    with pytest.raises(ValueError, match="parameter 'max_rnage' is not known"):
        settings_from({'max_rnage': 5.0})


def test_free_text_is_kept():
    assert checked('model', '/opt/my model.safetensors') == '/opt/my model.safetensors'
    assert checked('device', 'cuda:1') == 'cuda:1'


# All of them


def test_options_are_what_the_pipeline_needs():
    settings = settings_from(
        {'resolution': 'camera', 'scale': 'none', 'min_range': 0.5, 'max_range': 7}
    )
    assert settings.options() == Options('camera', 'none', 0.5, 7.0)


@pytest.mark.parametrize(('low', 'high'), [(5.0, 5.0), (6.0, 5.0)])
def test_ranges_out_of_order_are_refused(low, high):
    with pytest.raises(ValueError, match=f'min_range is {low:g}, max_range {high:g}; expected'):
        settings_from({'min_range': low, 'max_range': high})


@pytest.mark.parametrize(
    ('low', 'high'),
    [
        ('obstacle_min_height', 'obstacle_max_height'),
        ('scan_min_height', 'scan_max_height'),
        ('min_range', 'scan_range_max'),
    ],
)
def test_bounds_of_one_thing_are_in_order(low, high):
    with pytest.raises(ValueError, match=f'parameter {low} is 3, {high} 2; expected the first'):
        settings_from({low: 3.0, high: 2.0})


def test_a_camera_of_several_may_be_held_otherwise():
    settings = settings_from(
        {'cameras': ['front', 'left'], 'camera_height': 0.5, 'left.camera_pitch': 0.3}
    )
    assert settings.mounting('front') == Mounting(0.5)
    assert settings.mounting('left') == Mounting(0.5, pitch=0.3)
    assert settings_from({}).mounting('') is None


@pytest.mark.parametrize('names', [[], ['front', 'front'], ['9'], ['a b'], ['front', '']])
def test_names_of_cameras_are_parts_of_topics(names):
    with pytest.raises(ValueError, match='parameter cameras is'):
        settings_from({'cameras': names})


@pytest.mark.parametrize('name', ['left.max_range', 'left.no_such', '.camera_pitch2'])
def test_what_is_every_camera_s_cannot_be_one_s(name):
    with pytest.raises(ValueError, match=f"parameter '{name}' is not known"):
        settings_from({name: 1.0})


# On a node


@pytest.fixture
def node():
    """Return a function that makes a node with values given at start-up."""
    rclpy = pytest.importorskip('rclpy', reason='needs ROS 2 (rclpy)')
    from rclpy.node import Node
    from rclpy.parameter import Parameter

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=87)
    made = []

    def make(**values):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        made.append(
            Node(
                'parameters',
                context=context,
                parameter_overrides=overrides,
                start_parameter_services=False,
                enable_rosout=False,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.ros
def test_declared_parameters_carry_their_meaning(node):
    made = node(max_range=5, scale='none')
    settings = parameters.declare(made)
    assert settings == Settings(max_range=5.0, scale='none')
    assert type(settings.max_range) is float
    for name, parameter in PARAMETERS.items():
        descriptor = made.describe_parameter(name)
        assert descriptor.description == parameter.description
        assert descriptor.additional_constraints == parameter.expected
        assert descriptor.read_only == (not parameter.live)


@pytest.mark.ros
def test_bad_value_at_start_up_is_refused(node):
    with pytest.raises(ValueError, match='parameter min_range is -1.0; expected 0 to 100'):
        parameters.declare(node(min_range=-1.0))


@pytest.mark.ros
def test_changes_are_checked_together_with_what_holds(node):
    """max_range 0.2 is within its own range, and below the min_range that the node has."""
    made = node()
    parameters.declare(made)
    assert parameters.current(made, {'max_range': 4}).max_range == 4.0
    assert parameters.current(made).max_range == 10.0
    with pytest.raises(ValueError, match='min_range is 0.3, max_range 0.2'):
        parameters.current(made, {'max_range': 0.2})
