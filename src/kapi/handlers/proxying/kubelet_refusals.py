"""A kubelet's refusal of a log as a Status: what client libraries make of an answer that is none.

Called by `connect.py`. Words are those of metav1's generic server response.
"""

from __future__ import annotations

from kapi import errors
from kapi.outgoing.client import Answer
from kapi.outgoing.words import OutgoingError

ERROR_BYTES_MAX = 50_000  # of what the kubelet says

_GENERIC: dict[int, tuple[str, str]] = {
    401: ("Unauthorized", "the server has asked for the client to provide credentials"),
    404: ("NotFound", "the server could not find the requested resource"),
    405: ("MethodNotAllowed", "the server does not allow this method on the requested resource"),
    429: (
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
    ),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: (
        "Timeout",
        "the server was unable to return a response in the time allotted, but may still be"
        " processing the request",
    ),
}


async def refusal(answer: Answer, pod: str) -> errors.ApiError:
    """Reads the rest of the answer."""
    try:
        text = (await answer.read(ERROR_BYTES_MAX)).decode("utf-8", "replace")
    except OutgoingError as error:
        text = str(error)
    code = answer.status
    if code == 500:
        return errors.internal_error(text)
    if code == 400:
        return errors.bad_request(text)
    if code in _GENERIC:
        reason, said = _GENERIC[code]
    elif code == 403:
        reason, said = "Forbidden", text
    elif code > 500:
        reason = "InternalError"
        quoted = errors.quote(text)
        said = f"an error on the server ({quoted}) has prevented the request from succeeding"
    else:
        reason = ""
        said = (
            f"the server responded with the status code {code} but did not return more information"
        )
    details = {"name": pod, "kind": "pods/log"}
    return errors.ApiError(code, reason, f"{said} ( pods/log {pod})", details=details)
