"""What went wrong, for the reader."""


class FateError(Exception):
    """Its message is one sentence: what, where, and how to mend it. Shown as it is, without a traceback."""
