"""`rnnlm serve`: its options."""

from dataclasses import fields

from rnnlm.cli.tools.serve import command
from rnnlm.tools.serving.settings import ServingSettings


def test_every_setting_is_an_option():
    options = {parameter.name for parameter in command.params}
    assert {field.name for field in fields(ServingSettings)} <= options
