"""Eight cameras in one process, one node for all of them in another, by the script that measures that."""
import json
import subprocess
import sys

import networks
from rig import ROOT

SECONDS = 10
ENGINE_MS = 20.0
"""For eight cameras of 15 Hz, 8.3 ms would do."""


def measured(*arguments):
    script = [sys.executable, ROOT + '/docs/measurements/cameras.py', '--json', '--seconds', str(SECONDS)]
    run = subprocess.run(script + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         universal_newlines=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_eight_cameras_get_equal_shares_of_an_engine_that_is_too_slow_for_them(domain, tmp_path):
    networks.segmentation_model_that_takes(tmp_path, ENGINE_MS)
    result = measured('--task', 'segmentation', '--hz', '15', '--', '-p',
                      'segmentation.model:={}/tiny.yaml'.format(tmp_path))
    counts = [rate * result['listened_s'] for rate in result['rates_hz']]
    assert len(counts) == 8
    assert min(counts) >= 3
    assert max(counts) < 0.8 * 15 * result['listened_s'], 'the engine is too fast for this test'
    assert max(counts) - min(counts) <= max(2.0, 0.1 * max(counts))


def test_cameras_of_one_trigger_and_frame_id_get_the_flow_of_their_own_images(domain):
    result = measured('--task', 'optical_flow', '--cameras', '4', '--hz', '3', '--together', '--', '-p',
                      'optical_flow.model:=dis_fast', '-p', 'engine:=opencv')
    assert result['flows'] >= 8
    assert result['flows_of_strangers'] == 0
