"""The stage plot: one function per figure, which returns it and reads no files, and the viewer."""
