"""Why a job ended without having done its work."""


class FetchError(Exception):
    """The weights are not there, or are not the ones that were declared. `reason` is for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
