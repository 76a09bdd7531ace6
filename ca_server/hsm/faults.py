"""What a PKCS#11 error says about the call that it ended.

python-pkcs11 has one exception class for each return value. They are sorted here, once: the rest of the
door only asks whether the session was lost, the token refused, or it is open what happened.
"""

from __future__ import annotations


class Fault(Exception):
    """A call on a token failed; the words are the error's name, and the cause is chained."""


class SessionLost(Fault):
    """Session, login, token or module were gone before the call did anything."""


class KeyAbsent(SessionLost):
    """A search found nothing, which in a session whose token was away means nothing."""


class TokenRefused(Fault):
    """The token can, and will not; asking again changes nothing."""


class OutcomeOpen(Fault):
    """The call may have done its work before it failed."""


LOST = frozenset(
    {
        "KeyHandleInvalid",
        "ObjectHandleInvalid",
        "OperationActive",
        "OperationNotInitialized",
        "SessionCount",
        "SessionHandleInvalid",
        "SlotIDInvalid",
        "TokenNotPresent",
        "TokenNotRecognised",
        "UserNotLoggedIn",
    }
)
REFUSED = frozenset(
    {
        "ArgumentsBad",
        "AttributeReadOnly",
        "AttributeTypeInvalid",
        "AttributeValueInvalid",
        "DataInvalid",
        "DataLenRange",
        "DomainParamsInvalid",
        "FunctionNotSupported",
        "FunctionRejected",
        "KeyNotWrappable",
        "KeySizeRange",
        "KeyTypeInconsistent",
        "KeyUnextractable",
        "MechanismInvalid",
        "MechanismParamInvalid",
        "RandomNoRNG",
        "SessionReadOnly",
        "TemplateIncomplete",
        "TemplateInconsistent",
        "TokenWriteProtected",
        "WrappedKeyInvalid",
        "WrappedKeyLenRange",
        "WrappingKeyHandleInvalid",
        "WrappingKeySizeRange",
        "WrappingKeyTypeInconsistent",
    }
)
# Return values that python-pkcs11 0.10.1 gives no class of their own, by its words for them.
_NOT_INITIALIZED = "Initialisation error (not initialized). Should never see this."
_FUNCTION_NOT_PERMITTED = "Unmapped error code 0x68"


def fault_of(error: Exception) -> Fault:
    """Sort one PKCS#11 error; whatever is not known to be harmless is open."""
    name = name_of(error)
    if name in LOST or name == _NOT_INITIALIZED:
        return SessionLost(name)
    if name in REFUSED or name == _FUNCTION_NOT_PERMITTED:
        return TokenRefused(name)
    return OutcomeOpen(name)


def name_of(error: Exception) -> str:
    """The name of a PKCS#11 error, or its words where it has only the base class."""
    name = type(error).__name__
    return str(error) if name == "PKCS11Error" else name
