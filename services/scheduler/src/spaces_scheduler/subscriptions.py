"""Every message that the scheduler handles, one line each."""

from dataclasses import dataclass

from spaces_chassis.bus import Route, on, serve
from spaces_contracts.quotas import CountOpenRequests
from spaces_contracts.request_changes import WatchChanges
from spaces_contracts.request_lists import (
    CancelRequests,
    FindRequests,
    GetConnectionLoads,
    GetRequestDetails,
    ListRequests,
    NoteRetries,
)
from spaces_contracts.requests import (
    Announce,
    AskHolder,
    CancelRequest,
    GetQueues,
    GetRequests,
    JobAnswer,
    JobResult,
    Submit,
)
from spaces_contracts.system import GetHistory, ListBusyQueues
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.answers import Answers
from spaces_scheduler.change_feed import ChangeFeed
from spaces_scheduler.histories import Histories
from spaces_scheduler.intake import Intake
from spaces_scheduler.lists import Lists
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
    lists: Lists
    histories: Histories
    announcer: Announcer
    changes: ChangeFeed


def subscriptions(handlers: Handlers) -> list[Route]:
    """From gateways, workers and the registry."""
    questions, lists = handlers.questions, handlers.lists
    return [
        on(Submit, handlers.intake.submit, queue=QUEUE),
        serve(GetRequests, questions.get, queue=QUEUE),
        serve(ListRequests, lists.page, queue=QUEUE),
        serve(FindRequests, lists.find, queue=QUEUE),
        serve(GetRequestDetails, lists.details, queue=QUEUE),
        serve(CancelRequests, lists.cancel, queue=QUEUE),
        serve(NoteRetries, lists.note_retries, queue=QUEUE),
        serve(GetConnectionLoads, lists.loads, queue=QUEUE),
        serve(GetHistory, handlers.histories.history, queue=QUEUE),
        serve(ListBusyQueues, handlers.histories.busy, queue=QUEUE),
        serve(GetQueues, questions.queues, queue=QUEUE),
        serve(CountOpenRequests, questions.open_requests, queue=QUEUE),
        serve(AskHolder, questions.holder, queue=QUEUE),
        serve(CancelRequest, questions.cancel, queue=QUEUE),
        on(JobAnswer, handlers.answers.answer, queue=QUEUE),
        on(JobResult, handlers.results.finish, queue=QUEUE),
        on(WatchChanges, handlers.changes.watched),  # every scheduler hears it
        serve(Announce, handlers.announcer.announce, queue=QUEUE),
    ]
