"""Expected times on boards you do not have, by roofline (trt_perception_tools estimate), and sizes that reach 30 Hz.

    .venv/bin/python docs/measurements/expected_times.py

Prints the Markdown tables of expected_times.md. Networks that are not shipped have random weights.
"""
from trt_perception_tools.estimate.boards import BOARDS
from trt_perception_tools.estimate.command import MARGIN, row, subjects_of

TARGETS = {'swiftnet_camvid': (), 'espnet_camvid': (), 'tinypwc': (), 'nanoflownet': (),
           'swiftnet,classes=19': ((256, 512), (512, 1024), (1024, 2048)),
           'swiftnet,classes=19,encoder=mobilenet_v2': ((256, 512), (512, 1024)),
           'flownets': ((256, 512), (384, 512)), 'pwcnet': ((256, 512), (384, 512), (448, 1024))}
COLUMNS = [('tx2', 'fp32'), ('tx2', 'fp16'), ('xavier', 'fp16'), ('xavier', 'int8'), ('orin-nano', 'fp16'),
           ('orin-nano', 'int8'), ('orin', 'fp16'), ('orin', 'int8')]
RATE_HZ = 30.0


def main():
    """Estimate and print."""
    times, sizes = [], []
    for target, wanted in TARGETS.items():
        for number, subject in enumerate(subjects_of(target, wanted)):
            rows = [row(subject, subject.size, BOARDS[board], precision, RATE_HZ) for board, precision in COLUMNS]
            name = f'| {target} | {"{}x{}".format(*subject.size)} | '
            times.append(name + f'{subject.gflops:.1f} | ' + ' | '.join(
                f'**{each.milliseconds:.1f}**' if each.milliseconds * MARGIN <= 1e3 / RATE_HZ
                else f'{each.milliseconds:.1f}'
                for each in rows) + ' |')
            if number == 0:
                sizes.append(f'| {target} | ' + ' | '.join(
                    '{}x{}'.format(*each.reaches) if each.reaches else '-' for each in rows) + ' |')
    heads = ' | '.join(f'{board} {precision}' for board, precision in COLUMNS)
    print(f'| network | input | GFLOPs | {heads} |\n' + '|---' * (3 + len(COLUMNS)) + '|')
    print('\n'.join(times))
    print(f'\n| {RATE_HZ:g} Hz with {MARGIN - 1:.0%} to spare up to | {heads} |\n' + '|---' * (1 + len(COLUMNS)) + '|')
    print('\n'.join(sizes))


if __name__ == '__main__':
    main()
