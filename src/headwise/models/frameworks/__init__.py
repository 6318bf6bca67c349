"""Models that other frameworks run, under the `Model` protocol: torch modules and ONNX files."""

from headwise.models.frameworks.arguments import InputOptions
from headwise.models.frameworks.framework_model import FrameworkModel, running
from headwise.models.frameworks.onnx_file import onnx_model
from headwise.models.frameworks.torch_module import torch_model

__all__ = ["FrameworkModel", "InputOptions", "onnx_model", "running", "torch_model"]
