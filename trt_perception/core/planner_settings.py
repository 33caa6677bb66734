"""All parameters of `planner_node`. docs/parameters.md and config/planner.yaml are generated from them."""
from .setting import Setting

PLANNER_SETTINGS = (
    Setting('base_frame', 'base_link', 'Frame of the results: x forward, y left, z up, its origin on the ground'),
    Setting('mounting', 'parameters', "Source of the camera's pose in base_frame: camera.* parameters, or tf (needs "
            'tf2_ros)', ('parameters', 'tf')),
    Setting('camera.height', 1.0, 'Height of the camera above the ground (m)', limits=(0.01, 1000)),
    Setting('camera.x', 0.0, 'Position of the camera ahead of the origin of base_frame (m)', limits=(-100, 100)),
    Setting('camera.y', 0.0, 'Position of the camera to the left of the origin of base_frame (m)', limits=(-100, 100)),
    Setting('camera.roll', 0.0, 'Rotation of the camera about its line of sight, > 0 = clockwise from behind (rad)',
            limits=(-3.15, 3.15)),
    Setting('camera.pitch', 0.0, 'Rotation of the camera about its horizontal axis, > 0 = looks down (rad)',
            limits=(-1.58, 1.58)),
    Setting('camera.yaw', 0.0, 'Rotation of the camera about the vertical axis, > 0 = looks to the left (rad)',
            limits=(-3.15, 3.15)),
    Setting('rectified', False, 'Whether the images are rectified (image_rect): P of camera_info is used instead of K '
            'and distortion'),
    Setting('class_costs', '', "YAML with the classes that are ground, and the costs of classes; '' = the shipped "
            'config/class_costs/default.yaml'),
    Setting('crop_bottom', 0.0, 'Lower part of the image that shows the vehicle itself, as a share of its height',
            limits=(0, 0.9)),
    Setting('max_range', 30.0, 'Distance up to which the ground is assumed to be flat (m)', limits=(0.1, 1000)),
    Setting('scan.beams', 160, 'Number of beams of planner/scan; at most half the image width', limits=(2, 4096)),
    Setting('grid.length', 20.0, 'Length of planner/grid ahead of base_frame (m)', limits=(0.1, 1000)),
    Setting('grid.width', 20.0, 'Width of planner/grid, half of it on each side (m)', limits=(0.1, 1000)),
    Setting('grid.resolution', 0.1, 'Side of a cell of planner/grid (m)', limits=(0.01, 10)),
    Setting('obstacles.interval', 0.1, 'Time over which the flow is followed back to find obstacles (s): three images '
            'back at 30 Hz; 0 = to the previous image', limits=(0, 1)),
    Setting('obstacles.min_speed', 0.7, 'Lowest speed over the ground that counts as moving (m/s)', limits=(0, 100)),
    Setting('obstacles.longest_time', 10.0, 'Longest time to contact that is published (s)', limits=(0.1, 1000)),
)
