"""What can be wrong with weights. No message holds a key or anything of the contents."""


class WeightsError(Exception):
    """Weights that can't be used. `reason` is for programs."""

    reason = "WeightsUnusable"


class NotSealedError(WeightsError):
    """It is no sealed file, or of a version that is not known."""

    reason = "NotSealed"


class WrongKeyError(WeightsError):
    """It is sealed for others, or there is no key to try."""

    reason = "UnsealKeyWrong"


class BrokenSealError(WeightsError):
    """Something in it was changed, moved, cut off or added."""

    reason = "SealBroken"


class SignatureError(WeightsError):
    """No signature of the key that must have signed it."""

    reason = "SignatureInvalid"
