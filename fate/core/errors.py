"""Why something was not done."""


class StoppedError(Exception):
    """Its caller did not want it any more."""


class FateError(Exception):
    """Its message is one sentence: what, where, and how to mend it. Shown as it is, without a traceback."""
