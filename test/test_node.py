"""The node as its users see it: a process of its own, a camera, and its outputs over real DDS."""

import cv2
import numpy as np
import pytest
from ros_graph import (
    BEST_EFFORT,
    CAMERA_TOPICS,
    FRAME_ID,
    OUTPUT_SIZE,
    RELIABLE,
    ROOT,
    CompressedImage,
    array_of,
    image_msg,
    info_msg,
    jpeg_msg,
    open_graph,
    points_of,
    wait_for_none,
)

from fcrn_ros.camera import Camera
from fcrn_ros.model.weights import find_model, shipped_models
from fcrn_ros.options import Options
from fcrn_ros.pipeline import DepthPipeline
from fcrn_ros.recording import read_bag

pytestmark = pytest.mark.ros
DISTORTION = (-0.28, 0.07, 0.001, -0.0005, 0.0)
DIAGNOSTICS = {
    'state',
    'model',
    'backend',
    'device',
    'precision',
    'building',
    'images in',
    'frames out',
    'input rate [Hz]',
    'output rate [Hz]',
    'stamp to publish p50 [ms]',
    'stamp to publish p95 [ms]',
    'stamp to publish p99 [ms]',
    'valid share',
    'dropped',
    'last error',
    'scale',
    'scale source',
}


@pytest.fixture(scope='module')
def graph(tmp_path_factory):
    with open_graph(tmp_path_factory.mktemp('test_node'), 1) as graph:
        yield graph


@pytest.fixture(scope='module')
def frame(request):
    """Return a recorded frame; of the bundled clip where there is no other recording."""
    bag = ROOT / 'demo' / 'room'
    try:
        recorded = request.getfixturevalue('data_folder') / 'bags' / 'kitchen_compressed_mcap'
        bag = recorded if recorded.is_dir() else bag
    except pytest.skip.Exception:
        pass
    if not bag.is_dir():
        pytest.skip(f'needs a recording, {bag}')
    return next(read_bag(bag))


@pytest.fixture(scope='module')
def picture(frame):
    return frame.image


@pytest.fixture(scope='module')
def pipeline(tiny_model, picture):
    """Return the same model in this process; a tenth of its depth is too near, a tenth too far."""
    pipeline = DepthPipeline.open(str(tiny_model), 'torch', 'cpu', 'fp32')
    depth = pipeline(picture, Camera.from_msg(info_msg())).depth
    near, far = (round(float(x), 3) for x in np.percentile(depth, (10, 90)))
    pipeline.options = Options(min_range=near, max_range=far)
    return pipeline


@pytest.fixture(scope='module')
def parameters(tiny_model, pipeline):
    return {
        'model': tiny_model,
        'backend': 'torch',
        'precision': 'fp32',
        'edge_filter': 0.0,
        'min_range': pipeline.options.min_range,
        'max_range': pipeline.options.max_range,
    }


@pytest.fixture(scope='module')
def node(graph, parameters):
    node = graph.start(parameters)
    node.set_camera(info_msg())
    return node


@pytest.fixture(scope='module')
def outputs(node, picture):
    """Return what comes of one rgb8 image: topic -> message, all of one stamp."""
    return node.exchange(image_msg(picture))


@pytest.fixture(scope='module')
def depth(outputs):
    return array_of(outputs['depth/image_raw'])


# -- what one image becomes --------------------------------------------------------------------


def test_every_output_has_the_stamp_and_the_frame_of_the_image(outputs):
    assert set(outputs) == set(CAMERA_TOPICS)
    assert {m.header.frame_id for m in outputs.values()} == {FRAME_ID}
    assert len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in outputs.values()}) == 1


def test_every_image_has_its_encoding_and_the_size_of_the_depth(outputs):
    encodings = {
        'depth/image_raw': '32FC1',
        'color/image_raw': 'rgb8',
        'depth/image_color': 'rgb8',
        'confidence/image_raw': '32FC1',
    }
    assert {t: outputs[t].encoding for t in encodings} == encodings
    assert {array_of(outputs[t]).shape[:2] for t in encodings} == {OUTPUT_SIZE}


def test_depth_is_that_of_the_pipeline(depth, pipeline, picture):
    """NaN nearer than min_range, +Inf farther than max_range, metres between: a tenth each."""
    expected = pipeline(picture, Camera.from_msg(info_msg())).depth
    assert 0.05 < np.isnan(depth).mean() < 0.15 and 0.05 < np.isposinf(depth).mean() < 0.15
    both = np.isfinite(depth) & np.isfinite(expected)
    assert both.mean() > 0.75
    np.testing.assert_allclose(depth[both], expected[both], rtol=1e-3)
    assert depth[both].min() >= pipeline.options.min_range
    assert depth[both].max() <= pipeline.options.max_range


def test_confidence_is_a_share_and_zero_without_depth(outputs, depth):
    confidence = array_of(outputs['confidence/image_raw'])
    assert confidence.min() == 0 and confidence.max() <= 1
    assert (confidence[np.isnan(depth)] == 0).all()
    assert (confidence[np.isfinite(depth)] > 0).all()


@pytest.mark.parametrize('topic', ['depth/camera_info', 'color/camera_info'])
def test_camera_info_is_that_of_the_small_pinhole_image(outputs, topic):
    """
    640x480 -> 48x32 by sx = 0.075, sy = 1/15.

    fx = 585 sx = 43.875, fy = 570 sy = 38, cx = 312.5 sx - 0.5 = 22.9375, cy = 247.5 sy - 0.5 =
    16.
    """
    info = outputs[topic]
    assert (info.width, info.height) == OUTPUT_SIZE[::-1]
    np.testing.assert_allclose(info.k, [43.875, 0, 22.9375, 0, 38, 16, 0, 0, 1])
    np.testing.assert_allclose(info.p, [43.875, 0, 22.9375, 0, 0, 38, 16, 0, 0, 0, 1, 0])
    assert list(info.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert not any(info.d)
    assert (info.binning_x, info.binning_y, info.roi.width, info.roi.height) == (0, 0, 0, 0)


def test_color_is_the_picture_at_the_depth_s_size(outputs, picture):
    _assert_same_colors(array_of(outputs['color/image_raw']), picture)


def _assert_same_colors(color, picture):
    """Compare with the mean of the picture's pixels; rounded twice it may be off by 1."""
    expected = cv2.resize(picture, OUTPUT_SIZE[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(color.astype(int), expected.astype(int), atol=1)


def test_cloud_is_organised_with_four_fields(outputs):
    cloud = outputs['points']
    assert (cloud.height, cloud.width) == OUTPUT_SIZE
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ('x', 0, 7, 1),
        ('y', 4, 7, 1),
        ('z', 8, 7, 1),
        ('rgb', 12, 7, 1),
    ]
    assert cloud.point_step == 16 and cloud.row_step == 16 * cloud.width
    assert len(cloud.data) == cloud.row_step * cloud.height
    assert not cloud.is_bigendian and not cloud.is_dense


def test_points_project_back_onto_their_pixels(outputs):
    points = points_of(outputs['points'])[..., :3]
    camera = Camera.from_msg(outputs['depth/camera_info'])
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    known = np.isfinite(points[..., 2])
    pixels = camera.project(points)[known]
    np.testing.assert_allclose(pixels, np.stack((u, v), -1)[known], atol=0.01)


def test_points_are_the_depth_and_nan_elsewhere(outputs, depth):
    points = points_of(outputs['points'])[..., :3]
    known = np.isfinite(depth)
    np.testing.assert_array_equal(points[known][:, 2], depth[known])
    assert np.isfinite(points[known]).all()
    assert np.isnan(points[~known]).all()


def test_points_have_the_color_of_their_pixels(outputs):
    """0x00RRGGBB, little-endian: blue, green, red, 0."""
    packed = points_of(outputs['points']).view(np.uint8)[..., 12:]
    np.testing.assert_array_equal(packed[..., 2::-1], array_of(outputs['color/image_raw']))
    assert not packed[..., 3].any()


def test_depth_in_colors_differs_from_pixel_to_pixel(outputs, depth):
    colors = array_of(outputs['depth/image_color'])[np.isfinite(depth)]
    assert len(np.unique(colors, axis=0)) > 50


# -- encodings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(('encoding', 'padding'), [('bgr8', 0), ('bgr8', 10), ('rgb8', 7)])
def test_same_pixels_give_the_same_depth(node, picture, depth, outputs, encoding, padding):
    found = node.exchange(image_msg(picture, encoding, padding))
    np.testing.assert_array_equal(array_of(found['depth/image_raw']), depth)
    for topic in ('color/image_raw', 'points'):
        assert found[topic].data == outputs[topic].data


def test_mono8_gives_the_depth_of_the_grey_picture(node, picture):
    topics = ('depth/image_raw', 'color/image_raw')
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    expected = node.exchange(image_msg(np.dstack([grey] * 3)), topics)
    found = node.exchange(image_msg(picture, 'mono8', 5), topics)
    for topic in topics:
        np.testing.assert_array_equal(array_of(found[topic]), array_of(expected[topic]))


def test_nv12_gives_nearly_the_same_color_and_depth(node, picture, depth, outputs):
    found = node.exchange(image_msg(picture, 'nv12'), ('depth/image_raw', 'color/image_raw'))
    _assert_near(found, outputs)


def _assert_near(found, expected):
    a, b = (array_of(x['color/image_raw']).astype(int) for x in (found, expected))
    assert np.abs(a - b).mean() < 4
    a, b = (array_of(x['depth/image_raw']) for x in (found, expected))
    both = np.isfinite(a) & np.isfinite(b)
    assert both.mean() > 0.6
    assert np.median(np.abs(a[both] / b[both] - 1)) < 0.03


@pytest.fixture(scope='module')
def jpeg_node(graph, parameters):
    remappings = {'image': '/jpeg/camera/image_raw', 'camera_info': '/jpeg/camera/camera_info'}
    node = graph.start({**parameters, 'image_transport': 'compressed'}, remappings)
    node.set_camera(info_msg())
    return node


def test_jpeg_comes_on_the_remapped_topic_with_compressed_behind(jpeg_node, picture, outputs):
    topic = '/jpeg/camera/image_raw/compressed'
    with jpeg_node.image_publisher(CompressedImage, topic) as publisher:
        found = jpeg_node.exchange(jpeg_msg(picture), publisher=publisher)
    _assert_near(found, outputs)
    assert found['points'].header.frame_id == FRAME_ID


def test_damaged_jpeg_is_dropped_and_the_next_one_is_not(jpeg_node, picture):
    topic = '/jpeg/camera/image_raw/compressed'
    damaged = CompressedImage(format='jpeg', data=b'\xff\xd8\xff no picture')
    with (
        jpeg_node.image_publisher(CompressedImage, topic) as publisher,
        jpeg_node.receive(('depth/image_raw',)) as received,
    ):
        received.play(jpeg_msg(picture), publisher)

        def dropped(values):
            jpeg_node.send(damaged, publisher)
            return 'do not decode' in values['last error']

        assert int(jpeg_node.next_diagnostics(dropped)['dropped: bad image']) > 0
        received.play(jpeg_msg(picture), publisher)


# -- accuracy ----------------------------------------------------------------------------------


def test_shipped_model_sees_a_kitchen(graph, data_folder):
    """Half of the pixels are within half of the recorded depth: far from it, all is wrong."""
    if not shipped_models() or not find_model().with_suffix('.safetensors').is_file():
        pytest.skip('needs the shipped model')
    bag = data_folder / 'bags' / 'kitchen_compressed_mcap'
    if not bag.is_dir():
        pytest.skip(f'needs {bag}')
    frame = next(read_bag(bag))
    node = graph.start()
    camera = frame.camera
    node.set_camera(info_msg(intrinsics=(camera.fx, camera.fy, camera.cx, camera.cy)))
    depth = array_of(
        node.exchange(image_msg(frame.image), ('depth/image_raw',))['depth/image_raw']
    )
    node.close()
    truth = cv2.resize(frame.depth, depth.shape[::-1], interpolation=cv2.INTER_NEAREST)
    both = np.isfinite(depth) & np.isfinite(truth)
    assert both.mean() > 0.5
    assert np.median(np.abs(depth[both] / truth[both] - 1)) < 0.5


# -- parameters --------------------------------------------------------------------------------


def test_16uc1_comes_live(node, picture, depth):
    """Millimetres, rounded; 0 for NaN and +Inf."""
    with node.settings({'depth_encoding': '32FC1'}, depth_encoding='16UC1'):
        image = node.exchange(image_msg(picture), ('depth/image_raw',))['depth/image_raw']
    assert image.encoding == '16UC1'
    known = np.isfinite(depth)
    expected = np.rint(np.where(known, depth, 0) * 1000).astype(np.uint16)
    np.testing.assert_array_equal(array_of(image), expected)


def test_resolution_of_the_camera_comes_live(node, picture):
    topics = ('depth/image_raw', 'depth/camera_info', 'points', 'color/image_raw')
    with node.settings({'resolution': 'native'}, resolution='camera'):
        found = node.exchange(image_msg(picture), topics)
    assert array_of(found['depth/image_raw']).shape == (480, 640)
    np.testing.assert_array_equal(array_of(found['color/image_raw']), picture)
    np.testing.assert_allclose(found['depth/camera_info'].k, info_msg().k)
    assert (found['points'].height, found['points'].width) == (480, 640)


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('max_range', -1.0, ['max_range is -1.0', '0.1 to 1000']),
        ('max_range', 1000.5, ['max_range is 1000.5', '0.1 to 1000']),
        ('max_range', float('nan'), ['max_range is nan', '0.1 to 1000']),
        ('min_confidence', 2, ['min_confidence is 2', '0 to 1']),
        ('min_range', 50.0, ['min_range is 50, max_range', 'min_range < max_range']),
        ('min_range', 'near', ["min_range is 'near'", 'expected a number']),
        ('min_range', True, ['min_range is True', 'expected a number']),
        ('colormap', 'pink', ["colormap is 'pink'", 'turbo']),
        ('colormap', 3, ['colormap is 3', 'expected text']),
        ('depth_encoding', '32FC2', ["depth_encoding is '32FC2'", '32FC1, 16UC1']),
        ('model', 'other', ['model', 'read-only']),
        ('autostart', False, ['autostart', 'read-only']),
    ],
)
def test_bad_value_is_refused_with_its_reason(node, name, value, words):
    (result,) = node.set(**{name: value})
    assert not result.successful
    for word in words:
        assert word in result.reason


def test_integer_is_taken_for_a_number(node):
    with node.settings({'max_rate': 0.0}, max_rate=5):
        pass


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['-p', 'max_range:=-1.0'], ['max_range is -1.0', '0.1 to 1000']),
        (['-p', 'min_range:=near'], ["min_range is 'near'", 'a number']),
        (['-p', 'min_range:=20.0'], ['min_range is 20, max_range 10']),
        (['-p', 'backend:=magic'], ["backend is 'magic'", 'auto, ']),
        (['-p', 'model:=/nowhere/m.safetensors'], ["'/nowhere/m.safetensors'", 'not found']),
        (['-p', 'device:=cuda:99', '-p', 'model:=TINY'], ['cuda:99']),
        (['-p', 'max_range'], ['max_range']),
        (['--params-file', '/nowhere/depth.yaml'], ['/nowhere/depth.yaml']),
        (['-p', 'qos_overrides./points.publisher.reliability:=ok'], ['reliability', '`ok`']),
    ],
    ids=lambda x: x[-1].strip('-').replace('/', '_'),
)
def test_bad_start_ends_with_1_and_one_line(graph, tiny_model, arguments, words):
    arguments = [a.replace('TINY', str(tiny_model)) for a in arguments]
    process = graph.run(*arguments)
    assert process.wait() == 1
    (line,) = (line for line in process.lines if '[rcl]' not in line)  # it speaks first
    for word in words:
        assert word in line


# -- lifecycle ---------------------------------------------------------------------------------


def test_lifecycle_is_followed(graph, parameters, picture):
    node = graph.start({**parameters, 'autostart': False})
    assert node.state() == 'unconfigured'
    assert not graph.node.get_subscriptions_info_by_topic(node.image_topic)
    assert node.next_diagnostics()['state'] == 'inactive'
    assert node.change('configure') and node.state() == 'inactive'
    assert node.change('activate') and node.state() == 'active'
    node.set_camera(info_msg())
    with node.receive(('depth/image_raw',)) as received:
        received.play(image_msg(picture))
        assert node.change('deactivate') and node.state() == 'inactive'
        asleep = {node.send(image_msg(picture)) for _ in range(5)}
        assert node.next_diagnostics()['state'] == 'inactive'
        assert node.change('activate')
        received.play(image_msg(picture))
        assert not asleep & set(received.complete())
    assert node.change('deactivate', 'cleanup') and node.state() == 'unconfigured'
    assert node.change('configure', 'activate')
    node.exchange(image_msg(picture), ('depth/image_raw',))
    assert node.change('shutdown') and node.state() == 'finalized'
    assert not [line for line in node.lines if 'ERROR' in line or 'Traceback' in line]


# -- service quality ---------------------------------------------------------------------------


def _wait_for_reliability(node, topic, *expected):
    def found():
        infos = node.graph.node.get_subscriptions_info_by_topic(topic)
        return [i.qos_profile.reliability for i in infos] == list(expected)

    node.graph.wait_for(found, f'{expected} reader of {topic}')


def test_images_are_read_as_reliably_as_all_cameras_send(node, picture):
    topics = ('depth/image_raw', 'points')
    node.exchange(image_msg(picture), topics)
    _wait_for_reliability(node, node.image_topic, RELIABLE)
    with node.image_publisher(reliability=BEST_EFFORT) as publisher:
        _wait_for_reliability(node, node.image_topic, BEST_EFFORT)
        node.exchange(image_msg(picture), topics, publisher)
        node.exchange(image_msg(picture), topics)
    _wait_for_reliability(node, node.image_topic, RELIABLE)
    node.exchange(image_msg(picture), topics)


@pytest.mark.parametrize('reliability', [RELIABLE, BEST_EFFORT])
def test_outputs_match_every_reader(node, picture, reliability):
    node.exchange(image_msg(picture), reliability=reliability)


def test_outputs_are_reliable_and_volatile(node):
    for topic in CAMERA_TOPICS:
        infos = node.graph.node.get_publishers_info_by_topic(f'{node.namespace}/{topic}')
        assert [i.qos_profile.reliability for i in infos] == [RELIABLE], topic
        assert [i.qos_profile.durability.name for i in infos] == ['VOLATILE'], topic


# -- work only where it is wanted --------------------------------------------------------------


def _count(values, key):
    return int(values.get(key, 0))


def test_nobody_subscribes_nobody_computes(node, picture):
    state = {}

    def images_came_and_nothing_went_out(values):
        node.send(image_msg(picture))
        out = values['frames out']
        if state.get('out') != out:  # the last reader may just have left
            state.update(out=out, images=_count(values, 'images in'))
        return _count(values, 'images in') > state['images'] + 2

    values = node.next_diagnostics(images_came_and_nothing_went_out)
    assert values['frames out'] == state['out']


def test_newest_image_wins(node, picture):
    """Of 30 images at once the last one is answered, and those that waited are counted."""
    image, key = image_msg(picture), 'dropped: newer image'
    with (
        node.settings({'resolution': 'native'}, resolution='camera'),
        node.receive(('depth/image_raw', 'points', 'depth/image_color')) as received,
    ):
        received.play(image)
        before = _count(node.next_diagnostics(), key)

        def some_were_dropped(values):
            if _count(values, key) > before:
                return True
            last = [node.send(image) for _ in range(30)][-1]
            node.graph.wait_for(lambda: last in received.complete(), 'answer to the last image')
            return False

        node.next_diagnostics(some_were_dropped)


def test_max_rate_is_kept_and_counted(node, picture):
    key = 'dropped: max_rate'
    with (
        node.settings({'max_rate': 0.0}, max_rate=1.0),
        node.receive(('depth/image_raw',)) as received,
    ):
        received.play(image_msg(picture))
        before = _count(node.next_diagnostics(), key)

        def dropped(values):
            node.send(image_msg(picture))
            return _count(values, key) > before + 2

        node.next_diagnostics(dropped)


def test_old_image_is_dropped_as_stale(node, picture):
    with node.settings({'stale_after': 0.0}, stale_after=0.5), node.receive() as received:
        received.play(image_msg(picture))
        image = image_msg(picture)
        image.header.stamp.sec = 1_000_000_000

        def dropped(values):
            node.image.publish(image)
            return _count(values, 'dropped: stale') > 0

        node.next_diagnostics(dropped)
        assert all(1_000_000_000 * 10**9 not in m for m in received.messages.values())


def test_diagnostics_come_again_and_again_and_say_what_was_promised(node, picture):
    node.exchange(image_msg(picture), ('depth/image_raw',))
    first = node.next_diagnostics()
    values = node.next_diagnostics()
    assert set(values) >= DIAGNOSTICS and set(first) >= DIAGNOSTICS
    assert values['level'] == 0 and values['message'] == 'depth is published'
    assert (values['state'], values['model'], values['backend']) == ('active', 'tiny', 'torch')
    assert values['precision'] == 'fp32'
    assert values[node.image_topic] == '1 publishers, read reliable'
    assert (
        0
        < float(values['stamp to publish p50 [ms]'])
        <= float(values['stamp to publish p99 [ms]'])
    )
    assert 0.7 < float(values['valid share']) < 0.9
    assert values['scale source'] == 'focal'


# -- lenses ------------------------------------------------------------------------------------


def test_distorted_image_is_rectified(node, picture):
    node.set_camera(info_msg(distortion=DISTORTION))
    try:
        found = node.exchange(image_msg(picture))
    finally:
        node.set_camera(info_msg())
    matrix = np.array(info_msg().k).reshape(3, 3)
    straight = cv2.undistort(picture, matrix, np.array(DISTORTION))
    straight, bent = (
        cv2.resize(x, OUTPUT_SIZE[::-1], interpolation=cv2.INTER_AREA).astype(int)
        for x in (straight, picture)
    )
    color = array_of(found['color/image_raw']).astype(int)
    inside = np.s_[2:-2, 2:-2]  # what lies outside of the picture is not compared
    assert np.abs(color - straight)[inside].mean() < 1
    assert np.abs(color - bent)[inside].mean() > 3
    for topic in ('depth/camera_info', 'color/camera_info'):
        assert not any(found[topic].d)
        np.testing.assert_allclose(found[topic].p[:3], [43.875, 0, 22.9375])


@pytest.fixture(scope='module')
def rect_node(graph, parameters):
    """Return a node that reads an image_rect, and sends depth as its user told it to."""
    override = 'qos_overrides./rect/depth/image_raw.publisher.reliability'
    return graph.start(
        {**parameters, override: 'best_effort'}, {'image': '/rect/image_rect'}, name='/rect'
    )


def test_image_rect_is_not_rectified_again(rect_node, picture):
    rect_node.set_camera(info_msg(distortion=DISTORTION))
    topics = ('color/image_raw', 'depth/camera_info', 'points')
    found = rect_node.exchange(image_msg(picture), topics)
    _assert_same_colors(array_of(found['color/image_raw']), picture)
    assert not any(found['depth/camera_info'].d)


def test_qos_overrides_change_one_publisher(rect_node, picture):
    rect_node.exchange(image_msg(picture), ('depth/image_raw',), reliability=BEST_EFFORT)
    for topic in CAMERA_TOPICS:
        (info,) = rect_node.graph.node.get_publishers_info_by_topic(f'/rect/{topic}')
        expected = BEST_EFFORT if topic == 'depth/image_raw' else RELIABLE
        assert info.qos_profile.reliability == expected, topic


# -- the end -----------------------------------------------------------------------------------


def test_every_node_ends(graph):
    graph.stop_nodes()
    wait_for_none(graph.mark)
