"""The text of a costmap's YAML; what stands in braces is filled in by the layout."""

HEADER = """\
# Local costmap of Nav2 from the depth node's clouds, written by fcrn nav2.{layers}
#
{cameras}
#
# The node takes the floor out of points/marking by parameters of its own. They have to be those
# that this file was written for:
#
{mountings}
#     obstacle_min_height: {obstacle_min_height}
#     obstacle_max_height: {obstacle_max_height}
#     obstacle_depth_error: {obstacle_depth_error}
#     min_range: {min_range}
#     max_range: {max_range}
#
# Heights are metres above z = 0 of the costmap's global frame, ranges metres from the camera. TF
# from the global frame to the image's optical frame must exist at the image's stamp.
"""
COSTMAP = """\
local_costmap:
  local_costmap:
    ros__parameters:
      global_frame: {global_frame}
      robot_base_frame: {base_frame}
      rolling_window: true
      width: {size}  # m, twice the clearing range
      height: {size}
      resolution: {resolution}
      update_frequency: 5.0  # a faster cloud gains nothing
      publish_frequency: 2.0
      transform_tolerance: 0.3
      robot_radius: {radius}
      plugins: [{plugin}, inflation_layer]  # inflation comes last
"""
OBSTACLE = """
      # 2-D. A ray over a low thing clears it: what slips below the camera's view is forgotten
      # while it is still there. Prefer voxel_layer where the computer can
      obstacle_layer:
        plugin: nav2_costmap_2d::ObstacleLayer
        enabled: true
        footprint_clearing_enabled: true
        min_obstacle_height: 0.0
        max_obstacle_height: {mark_high}
        combination_method: 1
        observation_sources: {sources}
"""
VOXEL = """
      # 3-D. A ray clears only what it passes through
      voxel_layer:
        plugin: nav2_costmap_2d::VoxelLayer
        enabled: true
        footprint_clearing_enabled: true
        min_obstacle_height: 0.0
        max_obstacle_height: {mark_high}
        # the grid reaches to origin_z + z_voxels * z_resolution = {grid_top} m; the camera, at
        # {tallest} m, must be inside, or nothing is cleared
        origin_z: 0.0
        z_resolution: {z_resolution}
        z_voxels: {z_voxels}  # 16 is the most there can be
        unknown_threshold: 15  # a column of which one voxel was seen free is not unknown
        mark_threshold: 0
        combination_method: 1
        publish_voxel_map: false
        observation_sources: {sources}
"""
SOURCES = """\
        {name}_mark:
          topic: {topic}/marking  # what stands on the floor, without the floor
          data_type: PointCloud2  # the default, LaserScan, would wait for another type
          marking: true
          clearing: false
          # the node has cut at {lowest} m above the floor below the camera; the same height
          # here, above z = 0, would cut again as soon as the robot rocks or z drifts
          min_obstacle_height: 0.0
          max_obstacle_height: {mark_high}  # {mark_high_why}; the default, 0.0, drops everything
          obstacle_min_range: {min_range}  # the node's min_range
          obstacle_max_range: {mark_range}  # {mark_range_why}
          raytrace_min_range: 0.0
          raytrace_max_range: {clear_range}
          expected_update_rate: {period}  # a period: without a cloud for so long, it is stale
          observation_persistence: 0.0
        {name}_clear:
          topic: {topic}/clearing  # every point that is trusted, the floor's among them
          data_type: PointCloud2
          marking: false
          clearing: true
          # heights cut rays as well: these let every ray clear. Floor of twice the true depth lies
          # a camera's height below z = 0; {clear_high} m is the highest that is seen at max_range
          min_obstacle_height: {clear_low}
          max_obstacle_height: {clear_high}
          obstacle_min_range: {min_range}
          obstacle_max_range: {mark_range}
          raytrace_min_range: 0.0
          raytrace_max_range: {clear_range}  # not below obstacle_max_range: far marks would stay
          expected_update_rate: {period}
          observation_persistence: 0.0
"""
STVL = """
      # 3-D, forgets by time: package spatio_temporal_voxel_layer. It forgets faster whatever lies
      # in the camera's view, measured free or not: pixels of no depth clear as well
      stvl_layer:
        plugin: spatio_temporal_voxel_layer/SpatioTemporalVoxelLayer
        enabled: true
        voxel_size: {resolution}
        decay_model: 0  # linear
        voxel_decay: {decay}  # s until an unseen voxel is forgotten
        mark_threshold: 1  # a single voxel is noise
        track_unknown_space: true
        update_footprint_enabled: true
        combination_method: 1
        origin_z: 0.0
        publish_voxel_map: false
        transform_tolerance: 0.2
        mapping_mode: false
        observation_sources: {sources}
"""
STVL_SOURCES = """\
        {name}_mark:
          topic: {topic}/marking
          data_type: PointCloud2
          marking: true
          clearing: false
          min_obstacle_height: 0.0  # the node has taken the floor out, by the camera's own height
          max_obstacle_height: {mark_high}  # {mark_high_why}
          obstacle_range: {mark_range}  # {mark_range_why}
          expected_update_rate: {period}  # a period: without a cloud for so long, it is stale
          observation_persistence: 0.0
          inf_is_valid: false
          filter: voxel  # thins the cloud to voxel_size
          voxel_min_points: 0
          clear_after_reading: true
        {name}_clear:
          topic: {topic}/clearing
          data_type: PointCloud2
          marking: false
          clearing: true
          min_obstacle_height: {clear_low}
          max_obstacle_height: {clear_high}
          # the widest frustum on the optical axis that the camera sees: {wide} x {high} degrees,
          # {min_range} to {clear_range} m deep. The layer measures ranges along the corners, and
          # widens the horizontal angle towards them; these numbers allow for it
          horizontal_fov_angle: {horizontal}
          vertical_fov_angle: {vertical}
          vertical_fov_padding: 0.0
          min_z: {frustum_near}
          max_z: {frustum_far}
          decay_acceleration: 5.0  # in view, a voxel that is not seen again lasts about 1 s
          model_type: 0  # depth camera
          expected_update_rate: 0.0  # must be 0: a source that only clears never counts as updated
          observation_persistence: 0.0  # must be 0: it keeps no cloud whose age could be told
          inf_is_valid: false
          clear_after_reading: true
"""
INFLATION = """
      inflation_layer:
        plugin: nav2_costmap_2d::InflationLayer
        inflation_radius: {inflation}
        cost_scaling_factor: 3.0
"""
TEMPLATES = {
    'obstacle': (OBSTACLE, SOURCES),
    'voxel': (VOXEL, SOURCES),
    'stvl': (STVL, STVL_SOURCES),
}
LAYERS = tuple(TEMPLATES)
