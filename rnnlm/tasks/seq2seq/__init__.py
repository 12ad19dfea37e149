"""An encoder reads a source, a decoder writes a target and looks back at the source by
attention."""
