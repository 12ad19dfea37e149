"""Minimal pairs: two sentences of which a good model finds one likelier; accuracy by kind, with
intervals.

Sets of pairs come as tables of good and bad sentences (BLiMP), agreement templates and Winograd
schemas.
"""
