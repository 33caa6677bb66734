"""The model of a task, and the engine options, that the parameters of a node select."""
from typing import Tuple

from ..core.errors import ConfigError
from ..core.model import Model, load_model
from ..core.settings import Settings
from .backends import EngineOptions, default_model

FLOW_MODEL = 'dis_ultrafast'
"""The model in config/models whose flow carries results if no other flow is computed anyway."""


def deployed_model(task: str, settings: Settings) -> Model:
    """Return the model of a task.

    Raises:
        ConfigError: there is no such task, or its model is for another.
    """
    named = settings[task + '.model']
    model = load_model(named) if named else default_model(task, settings['engine'])
    if model.task != task:
        raise ConfigError('parameter {}.model: {} is a model for {}, expected one for {}.'.format(
            task, model.path, model.task, task))
    return model


def carrying_flow(options: EngineOptions) -> Tuple[Model, EngineOptions]:
    """Return FLOW_MODEL and its engine options: on the CPU, in addition to the engine of these options."""
    return load_model(FLOW_MODEL), EngineOptions('opencv', num_threads=options.num_threads)


def engine_options(settings: Settings) -> EngineOptions:
    """Return the engine options."""
    return EngineOptions(
        settings['engine'], settings['precision'], settings['num_threads'], cache_dir=settings['engine_cache_dir'],
        rebuild=settings['force_engine_update'], workspace_bytes=settings['max_workspace_size'],
        dla_core=settings['dla_core'], gpu_id=settings['gpu_id'])
