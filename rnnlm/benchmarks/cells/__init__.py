"""Recurrent cells beside each other: as many parameters, as much time, as many trials."""
