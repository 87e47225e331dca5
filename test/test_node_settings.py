"""The depth node's parameters, as a costmap reads them."""

import pytest

from fcrn_ros.mounting import Mounting
from fcrn_ros.navigation.node_settings import read_yaml, settings_in
from fcrn_ros.settings import Settings


@pytest.fixture
def read(tmp_path):
    """Return a function from the text of a file to the settings in it."""

    def settings(text):
        path = tmp_path / 'params.yaml'
        path.write_text(text)
        return settings_in(path)

    return settings


def test_the_shipped_file_gives_the_defaults():
    from fcrn_ros.share import share_folder

    assert settings_in(share_folder() / 'config' / 'depth.yaml') == Settings()


def test_the_nodes_own_block_is_above_that_of_all_nodes(read):
    node = read(
        '/robot/fcrn_depth: {ros__parameters: {max_range: 6.5}}\n'
        '/**: {ros__parameters: {max_range: 4.0, min_range: 0.5, use_sim_time: true}}\n'
        'controller: {ros__parameters: {min_range: 0.9}}\n'
    )
    assert (node.min_range, node.max_range) == (0.5, 6.5)


def test_node_below_a_namespace_is_found(read):
    text = 'robot: {fcrn_depth: {ros__parameters: {obstacle_min_height: 0.25}}}\n'
    assert read(text).obstacle_min_height == 0.25


def test_cameras_have_their_own_mounting(read):
    node = read(
        '/**:\n  ros__parameters:\n    cameras: [front, left]\n    camera_height: 0.6\n'
        '    front.camera_pitch: 0.2\n    left: {camera_height: 0.9}\n'
    )
    assert node.mounting('front') == Mounting(0.6, 0.2)
    assert node.mounting('left') == Mounting(0.9)


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('/**: {ros__parameters: {max_range: far}}', "max_range is 'far'; expected"),
        (
            '/**: {ros__parameters: {obstacle_max_height: true}}',
            'obstacle_max_height is True; expected',
        ),
        (
            '/**: {ros__parameters: {obstacle_min_height: 0.5, obstacle_max_height: 0.4}}',
            'parameter obstacle_min_height is 0.5, obstacle_max_height 0.4',
        ),
        ('controller: {ros__parameters: {max_range: 5.0}}', 'no ros__parameters of fcrn_depth'),
        ('- 1', 'holds list; expected a mapping'),
        ('', 'holds NoneType; expected a mapping'),
        ('a: [', 'is not YAML'),
    ],
)
def test_what_is_wrong_is_named(read, text, problem):
    with pytest.raises(ValueError, match=f'params.yaml.*{problem}'):
        read(text)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.yaml was not found; expected a YAML'):
        read_yaml(tmp_path / 'nowhere.yaml')
