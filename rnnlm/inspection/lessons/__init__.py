"""Lessons: the error surface of one recurrent unit, and a network's gradients beside difference quotients."""
