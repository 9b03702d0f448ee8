"""Every message that the scheduler handles, one line each."""

from dataclasses import dataclass

from spaces_chassis.bus import Route, on, serve
from spaces_contracts.quotas import CountOpenRequests
from spaces_contracts.requests import (
    Announce,
    AskHolder,
    CancelRequest,
    GetQueues,
    GetRequests,
    JobAnswer,
    JobResult,
    ListRequests,
    Submit,
)
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.answers import Answers
from spaces_scheduler.intake import Intake
from spaces_scheduler.questions import Questions
from spaces_scheduler.results import Results

# Of several schedulers one answers.
QUEUE = "scheduler"


@dataclass(frozen=True)
class Handlers:
    """Who handles."""

    intake: Intake
    results: Results
    answers: Answers
    questions: Questions
    announcer: Announcer


def subscriptions(handlers: Handlers) -> list[Route]:
    """From gateways, workers and the registry."""
    questions = handlers.questions
    return [
        on(Submit, handlers.intake.submit, queue=QUEUE),
        serve(GetRequests, questions.get, queue=QUEUE),
        serve(ListRequests, questions.list, queue=QUEUE),
        serve(GetQueues, questions.queues, queue=QUEUE),
        serve(CountOpenRequests, questions.open_requests, queue=QUEUE),
        serve(AskHolder, questions.holder, queue=QUEUE),
        serve(CancelRequest, questions.cancel, queue=QUEUE),
        on(JobAnswer, handlers.answers.answer, queue=QUEUE),
        on(JobResult, handlers.results.finish, queue=QUEUE),
        serve(Announce, handlers.announcer.announce, queue=QUEUE),
    ]
