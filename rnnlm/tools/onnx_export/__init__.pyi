"""The public name of the folder."""

from .export import export_onnx as export_onnx
