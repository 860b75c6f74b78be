"""Stele's Pulumi program: settings in, one release or one environment out."""

import pulumi

from components.boundary import read_settings
from components.settings import ReleaseSettings

settings = read_settings()

if isinstance(settings, ReleaseSettings):
    from components.factory import Factory

    stack: Factory | Environment = Factory(settings.product, settings)
else:
    from components.environment import Environment

    stack = Environment(pulumi.get_stack(), settings)

for output, value in stack.outputs.items():
    pulumi.export(output, value)
