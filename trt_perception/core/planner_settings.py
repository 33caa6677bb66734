"""All parameters of `planner_node`. docs/parameters.md and config/planner.yaml are generated from them."""
from .setting import Setting

PLANNER_SETTINGS = (
    Setting('base_frame', 'base_link', 'Frame of the results: x forward, y left, z up, its origin on the ground'),
    Setting('mounting', 'parameters', 'Where the camera is in base_frame: by camera.* below, or by tf, which needs '
            'tf2_ros', ('parameters', 'tf')),
    Setting('camera.height', 1.0, 'Height of the camera above the ground (m)', limits=(0.01, 1000)),
    Setting('camera.x', 0.0, 'Place of the camera ahead of the origin of base_frame (m)', limits=(-100, 100)),
    Setting('camera.y', 0.0, 'Place of the camera to the left of the origin of base_frame (m)', limits=(-100, 100)),
    Setting('camera.roll', 0.0, 'Turn of the camera about its line of sight, > 0 = clockwise as it looks (rad)',
            limits=(-3.15, 3.15)),
    Setting('camera.pitch', 0.0, 'Turn of the camera about its horizontal axis, > 0 = looks down (rad)',
            limits=(-1.58, 1.58)),
    Setting('camera.yaw', 0.0, 'Turn of the camera about the vertical axis, > 0 = looks to the left (rad)',
            limits=(-3.15, 3.15)),
    Setting('rectified', False, 'Whether the images are rectified (image_rect), so that P of camera_info holds '
            'instead of K and distortion'),
    Setting('class_costs', '', "File that says which classes are ground, and their costs; '' = the shipped "
            'config/class_costs/default.yaml'),
    Setting('crop_bottom', 0.0, 'Share of the image height, at the bottom, that shows the vehicle itself',
            limits=(0, 0.9)),
    Setting('max_range', 30.0, 'As far as the ground is trusted to be flat (m)', limits=(0.1, 1000)),
    Setting('scan.beams', 160, 'Beams of planner/scan; at most half the image width', limits=(2, 4096)),
    Setting('grid.length', 20.0, 'planner/grid reaches so far ahead of base_frame (m)', limits=(0.1, 1000)),
    Setting('grid.width', 20.0, 'Width of planner/grid, half of it on each side (m)', limits=(0.1, 1000)),
    Setting('grid.resolution', 0.1, 'Side of a cell of planner/grid (m)', limits=(0.01, 10)),
    Setting('obstacles.interval', 0.1, 'How far back the flow is followed to find obstacles (s): three images at '
            '30 Hz; 0 = to the previous image', limits=(0, 1)),
    Setting('obstacles.min_speed', 0.7, 'Slowest motion over the ground that counts as moving (m/s)', limits=(0, 100)),
    Setting('obstacles.longest_time', 10.0, 'Longer times to contact are not told (s)', limits=(0.1, 1000)),
)
