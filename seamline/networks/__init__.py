"""The networks of a face domain, in every size; the parameter names are those of the public checkpoints."""

from seamline.networks.stylegan2 import Generator, GeneratorConfig

__all__ = ["Generator", "GeneratorConfig"]
