"""
What happens to images: decode, pipeline, outputs. Runs in the worker's thread.

Images of several cameras that come together share one run of the network. A frame may fail in any
way: it is dropped with its reason, and the others of its batch and the next ones are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node

from fcrn_ros.depth_frame import DepthFrame
from fcrn_ros.engine import DepthEngine, EngineError
from fcrn_ros.engine.supply import EngineSupply
from fcrn_ros.image import open_cv_bridge, rgb_from_compressed, rgb_from_msg
from fcrn_ros.messages import header_of
from fcrn_ros.pipeline import DepthPipeline, Picture, Prepared
from fcrn_ros.settings import Settings
from fcrn_ros.shell.mountings import Mountings
from fcrn_ros.shell.stream import LOG_SECONDS, Stream
from fcrn_ros.space.surroundings import Surroundings


@dataclass(frozen=True)
class _Item:
    """One image in work."""

    stream: Stream
    image: Any
    stamp: float
    prepared: Prepared


class FrameLoop:
    """
    Turns images into outputs, by whichever engine serves.

    :param node: for its clock and logger.
    :param settings: replaced as a whole when a parameter changes.
    """

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._bridge, reason = open_cv_bridge()
        node.get_logger().debug(reason or 'images are decoded by cv_bridge')
        self.settings = settings
        self.streams: dict[str, Stream] = {}
        self.mountings = Mountings(node)
        self._supply: EngineSupply | None = None
        self._pipeline: DepthPipeline | None = None

    # -- the engine ----------------------------------------------------------------------------

    def open(self) -> None:
        """Open the model and the engine; errors are those of ``open_engine``."""
        s = self.settings
        supply = EngineSupply(
            s.backend, s.request(), s.build, self._switch, self._node.get_logger().warning
        )
        self._pipeline = DepthPipeline(supply.open(), s.options())
        self._supply = supply
        self._switch(self._pipeline.engine)

    def close(self) -> None:
        """Release the engine, and stop building another."""
        if self._supply is not None:
            self._supply.close()
        self._supply = self._pipeline = None
        for stream in self.streams.values():
            stream.last_frame = None

    def _switch(self, engine: DepthEngine) -> None:
        if self._pipeline is not None:  # else it was closed meanwhile
            self._pipeline.engine = engine
            self._node.get_logger().info(
                f'model {engine.spec.name}, backend {engine.name} ({self.settings.backend}), '
                f'{engine.precision} on {engine.device}'
            )

    @property
    def engine(self) -> DepthEngine | None:
        """The engine that serves; None while there is none."""
        return self._pipeline.engine if self._pipeline is not None else None

    @property
    def building(self) -> str:
        """What is being built to replace the engine; '' for nothing."""
        return self._supply.building if self._supply is not None else ''

    # -- a batch of frames ---------------------------------------------------------------------

    def work(self, images: Mapping[str, Any]) -> None:
        """Take an Image or CompressedImage of each of some streams to the outputs."""
        pipeline, settings = self._pipeline, self.settings
        if pipeline is None:
            return
        pipeline.options = settings.options()
        items: list[_Item] = []
        for name, image in images.items():
            stream = self.streams[name]
            with self._failing([stream]):
                if stream.outputs.wanted() and (stamp := stream.take(image)) is not None:
                    picture = self._picture(stream, image, stamp)
                    items.append(_Item(stream, image, stamp, pipeline.prepare(picture)))
        outputs: list[Any] = []
        with self._failing([item.stream for item in items]):
            outputs = pipeline.infer([item.prepared for item in items]) if items else []
        for item, output in zip(items, outputs, strict=False):  # no output of a run that failed
            with self._failing([item.stream]):
                self._publish(item, pipeline, output, settings)

    @contextmanager
    def _failing(self, streams: Sequence[Stream]) -> Iterator[None]:
        """Drop the frames of some streams, whatever is raised."""
        try:
            yield
            return
        except (ValueError, TypeError, OverflowError) as err:
            cause, error = 'bad image', str(err)
        except EngineError as err:
            cause, error = 'engine', str(err)
            if self._supply is not None:
                self._supply.failed(err)
        except Exception as err:  # a frame may fail in any way; the next one is tried
            cause, error = 'internal', f'{type(err).__name__}: {err}'
        for stream in streams:
            stream.drop(cause, error)

    def _picture(self, stream: Stream, image: Any, stamp: float) -> Picture:
        if self.settings.image_transport == 'compressed':
            rgb = rgb_from_compressed(image)
        else:
            rgb = rgb_from_msg(image, self._bridge)
        mounting = self.mountings.of(stream.name, image.header.frame_id, self.settings)
        return Picture(rgb, stream.camera(), mounting, stamp, stream.name)

    def _publish(
        self, item: _Item, pipeline: DepthPipeline, output: Any, settings: Settings
    ) -> None:
        frames = pipeline.finish(item.prepared, output)
        if self._supply is not None:
            self._supply.succeeded()
        stream, header = item.stream, item.image.header
        mounting = item.prepared.picture.mounting
        surroundings = Surroundings(frames, mounting, settings)
        lacking = stream.outputs.publish(header_of(header.stamp, header.frame_id), surroundings)
        stream.last_frame = frames[0]
        stream.health.published(stream.now() - item.stamp, frames[0].valid_share)
        self._tell(stream, frames[0], lacking)
        for frame, transform in stream.outputs.new_frames(header.frame_id, surroundings).items():
            self.mountings.show(header.frame_id, frame, transform)

    def _tell(self, stream: Stream, frame: DepthFrame, lacking: Mapping[str, str]) -> None:
        """Warn of what is not to be trusted, or not to be had."""
        if frame.camera is None:
            return  # the stream says that
        logger = self._node.get_logger()
        doubt = f'{stream.prefix}scale: {frame.scale.doubt}'
        if frame.scale.doubt and frame.scale.source == 'ground':  # the first frame has it always
            logger.warning(doubt, throttle_duration_sec=LOG_SECONDS, skip_first=True)
        elif frame.scale.doubt:
            logger.warning(doubt, once=True)
        for reason in sorted(set(lacking.values())):
            topics = ', '.join(stream.prefix + t for t, r in lacking.items() if r == reason)
            logger.warning(
                f'{topics}: not published, for {reason}', throttle_duration_sec=LOG_SECONDS
            )
