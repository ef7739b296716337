"""Exceptions of a study as a whole."""


class StudyError(Exception):
    """A study cannot answer its question."""


class ExecutorError(Exception):
    """The executor of the cells cannot be reached."""
