class InputError(Exception):
    """Something the user gave is wrong: a file, a setting or an option.

    The command line prints the message alone, without a traceback, and ends with exit code 2. A message says
    which file, where in it, what was expected and how to mend it.
    """
