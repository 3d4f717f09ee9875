"""The stages of the workflow: each reads files, calls the library and writes files.

Every module has a class `Settings`, its section of ``params.yaml``, and a function `run`.
"""
