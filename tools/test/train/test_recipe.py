"""Recipes as they are written."""
import pytest

from trt_perception.core.errors import ConfigError
from trt_perception_tools.train.recipe import read_recipe

RECIPE = 'task: segmentation\noutput: out\nepochs: 3\nsegmentation: {batch: 2}\n'


@pytest.mark.parametrize(('text', 'message'), [
    ('epoch: 4', r"unknown field 'epoch'\. Did you mean 'epochs'\?"),
    ('optimiser: {learning_rate: 1e-3}', r"optimiser: learning_rate: got '1e-3', expected a number\. Write 1\.0e-3"),
    ('optimiser: {learning_rate: 0.0}', r'optimiser: learning_rate: got 0\.0, expected a number above 0'),
    ('optimiser: {name: Adamw}', r"optimiser: name: got 'Adamw', expected one of AdamW, SGD"),
    ('schedule: cosine', r"schedule: got 'cosine', expected a mapping of shape, warmup, power, final"),
    ('schedule: {warmup: 1.0}', r'schedule: warmup: got 1\.0, expected a share'),
    ('epochs: 0', r'epochs: got 0, expected at least 1'),
    ('epochs: true', r'epochs: got True, expected an integer'),
    ('ema: 1.0', r'ema: got 1\.0, expected a decay'),
    ('validate_every: 0', r'validate_every: got 0, expected at least 1'),
    ('task: sound', r"task: got 'sound', expected one of segmentation, optical_flow"),
    ('segmentation: 3', r'segmentation: got 3, expected a mapping'),
    ('output: null', r'output: got None, expected a path'),
])
def test_a_wrong_recipe_is_refused_with_file_field_and_expectation(tmp_path, text, message):
    path = tmp_path / 'recipe.yaml'
    path.write_text(RECIPE + text + '\n')
    with pytest.raises(ConfigError, match=r'recipe\.yaml: ' + message):
        read_recipe(path)


def test_a_missing_field_is_named(tmp_path):
    path = tmp_path / 'recipe.yaml'
    path.write_text('task: segmentation\noutput: out\n')
    with pytest.raises(ConfigError, match=r'recipe\.yaml: epochs: missing, expected an integer'):
        read_recipe(path)


def test_arguments_replace_fields_of_the_recipe(tmp_path):
    path = tmp_path / 'recipe.yaml'
    path.write_text(RECIPE)
    found, settings = read_recipe(path, {'epochs': 7, 'output': 'elsewhere'})
    assert (found.epochs, str(found.output), found.seed) == (7, 'elsewhere', 0)
    assert settings == {'batch': 2}
