"""Files that labels are written into: read sentence by sentence, with labels or without, and written again with all else they hold."""
