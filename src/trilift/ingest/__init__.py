"""The stage ingest: the files of a data set, read through `formats`, are matched, checked and written to captures.

The commands ``new`` and ``check`` too.
"""
