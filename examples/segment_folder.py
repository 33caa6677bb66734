"""The core without ROS: label maps of a folder of images.

    python3 examples/segment_folder.py IMAGES OUTPUT [--model swiftnet_camvid]

For each image, it writes NAME.png with the class ids, and NAME.overlay.jpg for viewing.
"""
import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from trt_perception.core.colors import label_palette, overlay_labels
from trt_perception.core.image import frame_from_array
from trt_perception.core.model import load_model
from trt_perception.core.segmentation import SegmentationPipeline
from trt_perception.engines import open_engine

SUFFIXES = ('.png', '.jpg', '.jpeg')


def main(arguments=None):
    """Segment each image of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path)
    parser.add_argument('output', type=Path)
    parser.add_argument('--model', default='swiftnet_camvid', help='a name in config/models, or the path of a YAML')
    args = parser.parse_args(arguments)

    model = load_model(args.model)
    pipeline = SegmentationPipeline(open_engine(model), model)
    palette = label_palette(model.labels)
    args.output.mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in args.images.iterdir() if path.suffix.lower() in SUFFIXES):
        image = cv2.imread(str(path))
        if image is None:
            print('{}: not an image, skipped'.format(path), file=sys.stderr)
            continue
        result = pipeline.process(frame_from_array(image))
        overlay = overlay_labels(image[..., ::-1], result.labels, palette, 0.5)
        cv2.imwrite(str(args.output / (path.stem + '.png')), result.labels)
        cv2.imwrite(str(args.output / (path.stem + '.overlay.jpg')), overlay[..., ::-1])
        shares = np.bincount(result.labels.ravel(), minlength=256) / result.labels.size
        most = sorted(model.labels.classes, key=lambda each: -shares[each.id])[:3]
        print('{}: {}'.format(path.name, ', '.join('{} {:.0%}'.format(each.name, shares[each.id]) for each in most)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
