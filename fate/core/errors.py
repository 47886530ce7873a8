"""What went wrong, for the reader."""


class StoppedError(Exception):
    """Work was given up because its caller asked for that."""


class FateError(Exception):
    """Its message is one sentence: what, where, and how to mend it. Shown as it is, without a traceback."""
