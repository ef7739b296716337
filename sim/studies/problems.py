"""What can go wrong with a study as a whole."""


class StudyError(Exception):
    """A study cannot say what it was asked."""


class ExecutorError(Exception):
    """Those who should run the cells cannot be reached."""
