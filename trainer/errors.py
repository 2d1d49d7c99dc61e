"""The one exception that is the user's to mend."""


class UserError(ValueError):
    """Bad usage or bad input: one sentence that names the value and the mend.

    `trainer.main` and `trainer.data.prepare` print it without a traceback and
    exit with 2; every other exception is a defect and keeps its traceback.
    """
