"""The recurrent weights of a network by themselves: their spectra and powers."""
