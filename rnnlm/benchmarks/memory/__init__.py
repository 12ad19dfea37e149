"""How long recurrent layers remember: synthetic tasks whose lag is a knob, and the longest lag that each layer learns to bridge."""
