"""Problems and frames as effects, for both sessions."""

from spaces_contracts.frames import ErrorFrame, Frame
from spaces_contracts.problems import Code, Problem
from spaces_gateway.sockets.effects import Close, Send


def send(frame: Frame) -> Send:
    """One frame."""
    return Send(frame.encode().encode())


def error(problem: Problem, *, request_id: str | None = None, ref: str | None = None) -> Send:
    """The `error` frame for a problem."""
    return send(
        ErrorFrame(
            code=problem.code,
            message=problem.message or problem.kind.title,
            ref=ref,
            request_id=request_id,
            retry=problem.kind.retry,
            facts=problem.facts,
            retry_after_s=problem.retry_after_s,
        )
    )


def close(problem: Problem) -> Close:
    """Closing with the code of a problem; the reason is its stable code."""
    return Close(problem.kind.close, problem.code)


def unknown_request(request_id: str, attempt: int) -> Send:
    """What a worker hears about work that this socket did not give it."""
    message = f"Attempt {attempt} of this request was not given to this connection."
    problem = Problem(code=Code.UNKNOWN_REQUEST, message=message, facts={"attempt": attempt})
    return error(problem, request_id=request_id)
