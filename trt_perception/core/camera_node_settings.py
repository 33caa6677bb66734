"""The parameters of `camera_node`."""
from .image import ENCODINGS
from .setting import Setting

CAMERA_NODE_SETTINGS = (
    Setting('source', '/dev/video0', 'Camera: a V4L2 device; csi or csi:N, sensor N of a Jetson; the path of a video; '
            'or test, a moving pattern'),
    Setting('pipeline', '', 'GStreamer elements that give video/x-raw, instead of `source`; they are connected to an '
            "appsink. '' = none"),
    Setting('reader', 'auto', 'Library that reads the images; auto = GStreamer where its Python bindings are '
            'installed, else OpenCV', ('auto', 'gstreamer', 'opencv', 'pattern')),
    Setting('image_width', 0, 'Width of the images (px); 0 = as the source gives it', limits=(0, 2**15)),
    Setting('image_height', 0, 'Height of the images (px); 0 = as the source gives it', limits=(0, 2**15)),
    Setting('framerate', 0.0, 'Images per second of a camera or the test pattern; 0 = as the source gives it',
            limits=(0, 1000)),
    Setting('encoding', '', "Encoding of the images; '' = as the source gives it, so that nothing is converted: nv12 "
            'of a CSI camera, mostly yuv422_yuy2 of a V4L2 camera', ('',) + tuple(ENCODINGS)),
    Setting('loop', False, 'Start a video again at its end; else the node ends with it'),
    Setting('frame_id', 'camera_optical_frame', 'frame_id of the images'),
    Setting('camera_info_url', '', "Calibration as ROS's camera_calibration writes it: a path, file://PATH or "
            "package://PACKAGE/PATH; '' = none, and no camera_info"),
    Setting('timeout', 5.0, 'The camera is opened again after so long without an image (s)', limits=(0.1, 3600)),
)
