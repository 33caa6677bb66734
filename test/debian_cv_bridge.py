"""The real cv_bridge, from Debian or Ubuntu, in the Python that it was compiled for: `make cv-bridge` unpacks it.

Run as a program in that Python, it converts what comes on stdin.
"""
import os
import pickle
import subprocess
import sys
from glob import glob
from pathlib import Path

TEST = Path(__file__).resolve().parent
ROOT = TEST.parent / '.cv_bridge'
PYTHON = '/usr/bin/python3'
PACKAGES = ('python3-cv-bridge',)
FIELDS = ('height', 'width', 'encoding', 'is_bigendian', 'step')


class CvBridge:
    """As cv_bridge.CvBridge, which converts in a process of its own."""

    def __init__(self):
        libraries = {os.path.dirname(path) for path in glob(str(ROOT / 'usr/lib/**/*.so.*'), recursive=True)}
        environment = {'LD_LIBRARY_PATH': os.pathsep.join(sorted(libraries)),
                       'PYTHONPATH': str(ROOT / 'usr/lib/python3/dist-packages')}
        self._process = subprocess.Popen([PYTHON, __file__], env=environment, stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)

    def imgmsg_to_cv2(self, message, desired_encoding='passthrough'):
        fields = {name: getattr(message, name) for name in FIELDS}
        pickle.dump((dict(fields, data=bytes(message.data)), desired_encoding), self._process.stdin)
        self._process.stdin.flush()
        converted, error = pickle.load(self._process.stdout)
        if error:
            raise RuntimeError(error)
        import numpy as np
        data, shape, dtype = converted
        return np.frombuffer(data, dtype).reshape(shape)

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def serve():
    """Convert one image after the other."""
    import cv_bridge
    from sensor_msgs.msg import Image
    bridge, results = cv_bridge.CvBridge(), sys.stdout.buffer
    while True:
        try:
            fields, desired = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            image = bridge.imgmsg_to_cv2(Image(**fields), desired)
            result = ((image.tobytes(), image.shape, str(image.dtype)), '')
        except Exception as error:  # CvBridgeError, cv2.error, TypeError, KeyError: all are told.
            result = (None, str(error) or type(error).__name__)
        pickle.dump(result, results)
        results.flush()


def main():
    import debian
    if debian.why_not():
        print('SKIPPED: cv_bridge from Debian: ' + debian.why_not())
    elif not (ROOT / 'done').exists():
        debian.unpack(ROOT, PACKAGES)
        (ROOT / 'done').touch()


if __name__ == '__main__':
    if sys.argv[1:] == ['unpack']:
        main()
    else:
        serve()
