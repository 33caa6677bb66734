"""A job, resolved: the bag opened, the cameras found, the models chosen, everything checked."""
from typing import Dict, List, Mapping, NamedTuple

from ..bag import Bag
from ..core.errors import ConfigError
from ..core.model import Model
from ..core.settings import Settings, defaults, find_setting
from ..core.tasks import PROPAGATE, carrying_class, find_task
from ..engines import carrying_flow, deployed_model, engine_options
from .camera import CameraTopics, find_cameras
from .fingerprint import describe_model, fingerprint_of
from .job import Job
from .output_bag import STORAGES


class Plan(NamedTuple):
    """A job, resolved on this machine."""

    bag: Bag
    cameras: List[CameraTopics]
    models: Dict[str, Model]
    """By task."""
    settings: Settings
    described: Dict[str, Dict[str, str]]
    """How the model of each task is run."""
    fingerprint: str


def settings_of(job: Job) -> Settings:
    """Return all parameters: those of the job, and the defaults of the others.

    Raises:
        ConfigError: one is unknown or wrong.
    """
    settings = defaults()
    settings.update({name: find_setting(name).check(value) for name, value in job.settings.items()})
    return settings


def describe_models(models: Mapping[str, Model], settings: Settings) -> Dict[str, Dict[str, str]]:
    """Return how the model of each task is run: model, engine, precision and digest.

    Raises:
        ConfigError: back-end, precision or network file is unavailable, or a setting depends on time.
    """
    options = engine_options(settings)
    described = {task: describe_model(model, options) for task, model in models.items()}
    for task in models:
        if carrying_class(task, settings) is not None:
            if not settings[PROPAGATE.name]:
                raise ConfigError('parameter propagate: got 0, expected at least 1: 0 means as time allows, which a '
                                  'bag does not limit. Give the number, or 1 to segment every image.')
            described[task]['carried_along'] = '{model} on {engine}, {sha256}'.format(
                **describe_model(*carrying_flow(options)))
    return described


def plan_of(job: Job) -> Plan:
    """Open the bag of a job, which the caller closes, and check everything.

    Raises:
        ConfigError: something is wrong.
    """
    if job.storage not in STORAGES:
        raise ConfigError('storage: got {!r}, expected one of {}.'.format(job.storage, ', '.join(STORAGES)))
    if job.compress and job.storage != 'mcap':
        raise ConfigError('compress: got storage {}, expected mcap: only that is compressed in a way that every reader '
                          'knows.'.format(job.storage))
    for name, value in (('every', job.every), ('split', job.split)):
        if value < 1:
            raise ConfigError('{}: got {}, expected at least 1.'.format(name, value))
    if job.start_ns < 0 or job.end_ns is not None and job.end_ns <= job.start_ns:
        raise ConfigError('time range: got {} to {} ns, expected an end after a start of at least 0.'.format(
            job.start_ns, job.end_ns))
    settings = settings_of(job)
    models = {task: deployed_model(task, settings) for task in job.tasks if find_task(task)}
    if not models:
        raise ConfigError('tasks: got none, expected at least one.')
    bag = Bag(job.bag)
    cameras = find_cameras(bag, job.cameras, settings['cameras'])
    bag.keep([topic for camera in cameras for topic in (camera.image, camera.info)])
    described = describe_models(models, settings)
    return Plan(bag, cameras, models, settings, described, fingerprint_of(job, bag, cameras, described, settings))
