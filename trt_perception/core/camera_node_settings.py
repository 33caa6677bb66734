"""The parameters of `camera_node`."""
from .image import ENCODINGS
from .setting import Setting

CAMERA_NODE_SETTINGS = (
    Setting('source', '/dev/video0', 'Camera: a V4L2 device; csi or csi:N, sensor N of a Jetson; the path of a video; '
            'or test, a moving pattern'),
    Setting('pipeline', '', 'GStreamer pipeline that ends in video/x-raw, instead of `source`; the node appends an '
            "appsink. '' = none"),
    Setting('reader', 'auto', 'Library that reads the images; auto = GStreamer where its Python bindings are '
            'installed, else OpenCV', ('auto', 'gstreamer', 'opencv', 'pattern')),
    Setting('image_width', 0, 'Width of the images (px); 0 = that of the source', limits=(0, 2**15)),
    Setting('image_height', 0, 'Height of the images (px); 0 = that of the source', limits=(0, 2**15)),
    Setting('framerate', 0.0, 'Rate of a camera or the test pattern (Hz); 0 = that of the source',
            limits=(0, 1000)),
    Setting('encoding', '', "Encoding of the images; '' = that of the source, without conversion: nv12 for a CSI "
            'camera, mostly yuv422_yuy2 for a V4L2 camera', ('',) + tuple(ENCODINGS)),
    Setting('loop', False, 'Play a video in a loop; otherwise the node exits at its end'),
    Setting('frame_id', 'camera_optical_frame', 'frame_id of the images'),
    Setting('camera_info_url', '', "Calibration as ROS's camera_calibration writes it: a path, file://PATH or "
            "package://PACKAGE/PATH; '' = none, and no camera_info"),
    Setting('timeout', 5.0, 'Time without an image after which the camera is opened again (s)', limits=(0.1, 3600)),
)
