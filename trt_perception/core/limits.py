"""Limits of external input. Input that exceeds a limit is refused where it enters."""

MAX_IMAGE_PIXELS = 2**25
"""Height times width of an image, px, as its message or its header says: a little more than 8K UHD (7680x4320)."""

MAX_IMAGE_FILE_PARTS = 2**14
"""Segments of a JPEG, chunks of a PNG. Encoders write a few; a large PNG has one chunk per 8 KB."""

MAX_UNCHECKED_PNG_BYTES = 2**18
"""Bytes of a PNG file that is decoded without a check of its unpacked size: at most 0.3 GB, in half a second."""

MAX_JPEG_SCANS = 32
"""Scans of a progressive JPEG. Encoders write about ten, and each costs one pass over the whole image."""

MAX_YAML_BYTES = 2**20
"""Bytes of a model or label file. The largest label sets have some hundred classes, 50 bytes each."""

MAX_YAML_NODES = 10**5
"""Values of a YAML file, with aliases expanded."""

MAX_YAML_DEPTH = 32
"""Levels of a YAML file. Ours have four; PyYAML recurses."""

MAX_YAML_TEXT = 10**4
"""Characters of a text or number. Python is slow for integers of many digits."""

MAX_NETWORK_BYTES = 2**32
"""Bytes of a network, its weights, or a built engine. The largest that are supported have some hundred MB."""

MAX_SIDE_CAR_BYTES = 2**20
"""Bytes of the side-car file of a built engine."""

MAX_GOLDEN_BYTES = 2**28
"""Bytes of a golden frame, unpacked: images and results of one frame."""
