"""Recurrent networks trained with truncated back-propagation through time, on torch."""
