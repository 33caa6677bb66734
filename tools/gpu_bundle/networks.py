"""Make the shipped networks in FP16 and INT8 for TensorRT: `python tools/gpu_bundle/networks.py FOLDER`.

FOLDER gets a YAML per model, which names them together with the shipped FP32 network. TensorRT 11 takes precisions
only from the network file.
"""
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MODELS = ('swiftnet_camvid', 'tinypwc')
IMAGES = ROOT / 'demo' / 'street'


def make(name: str, folder: Path) -> None:
    """Make one model's networks and YAML."""
    for path in (ROOT / 'models').glob(f'{name}.*'):
        shutil.copy2(path, folder)
    fields = yaml.safe_load((ROOT / 'config' / 'models' / f'{name}.yaml').read_text())
    del fields['sha256']
    for precision in ('fp16', 'int8'):
        file = f'{name}.tensorrt.{precision}.onnx'
        images = ['--bag', IMAGES, '--count', 16] if precision == 'int8' else []
        subprocess.run([sys.executable, '-m', 'trt_perception_tools', 'quantize', name, '--precision', precision,
                        '--for', 'tensorrt', *map(str, images), '--output', folder / file], check=True)
        fields['files']['tensorrt'][precision] = file
    (folder / f'{name}.yaml').write_text(yaml.safe_dump(fields, sort_keys=False))


def main(folder: Path) -> None:
    """Make all networks that do not exist yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        if not (folder / f'{name}.yaml').exists():
            make(name, folder)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
