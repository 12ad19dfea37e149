"""Recurrent networks as ONNX models."""
