"""Debian's or Ubuntu's packages, downloaded and unpacked in a folder, not installed."""
import shutil
import subprocess


def why_not():
    """Return why there are none, or ''."""
    return '' if shutil.which('apt-get') else 'no apt-get here'


def missing(packages):
    """Return those that the system lacks, dependencies included."""
    plan = subprocess.check_output(['apt-get', 'install', '--simulate', '--no-install-recommends'] + list(packages),
                                   universal_newlines=True, stderr=subprocess.DEVNULL)
    return [line.split()[1] for line in plan.splitlines() if line.startswith('Inst ')]


def unpack(folder, packages):
    """Download what is missing and unpack it into a new folder."""
    shutil.rmtree(str(folder), ignore_errors=True)
    debs = folder / 'debs'
    debs.mkdir(parents=True)
    subprocess.check_call(['apt-get', '--quiet', 'download'] + missing(packages), cwd=str(debs),
                          stdout=subprocess.DEVNULL)
    for deb in sorted(debs.glob('*.deb')):
        subprocess.check_call(['dpkg', '--extract', str(deb), str(folder)])
    shutil.rmtree(str(debs))
