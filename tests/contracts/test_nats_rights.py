"""What NATS users may do follows from the catalogue; on a real broker: tests/integration/stack/test_nats_rights.py."""

from pathlib import Path

import pytest

from spaces_contracts.access import Authenticate
from spaces_contracts.catalog import CATALOG, Entry, Party
from spaces_contracts.nats_permissions import (
    permissions_conf,
    service_rights,
    variable,
    worker_rights,
)
from spaces_contracts.streams import event_key, event_keys
from spaces_contracts.subject import answers_under

NATS = Path(__file__).parents[2] / "deploy" / "nats"


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.message.__name__)
def test_every_message_has_parties_that_exist(entry: Entry) -> None:
    assert entry.senders
    assert entry.receivers
    assert not (entry.senders == entry.receivers == {Party.DIRECT_WORKER})


def test_a_word_that_names_no_party_is_an_error() -> None:
    with pytest.raises(ValueError, match="gatway"):
        _ = Entry(Authenticate, "gatway", "registry").senders


def test_the_file_is_what_the_catalogue_says_and_the_server_reads_it() -> None:
    """`make verify` says the same; this says it in the suite."""
    assert (NATS / "permissions.conf").read_text(encoding="utf-8") == permissions_conf()
    config = (NATS / "server.conf").read_text(encoding="utf-8")
    assert 'include "permissions.conf"' in config
    for user in service_rights():
        assert (
            config.count(f'user: "{user}"') == config.count(f"permissions: ${variable(user)} ") == 1
        )
    assert config.count("user: ") == len(service_rights())


@pytest.mark.parametrize("user", service_rights())
def test_no_user_may_do_everything(user: str) -> None:
    rights = service_rights()[user]
    for subject in (*rights.publish, *rights.subscribe):
        first, *rest = subject.split(".")
        assert first not in ("*", ">")
        assert rest[:1] != [">"] or subject == "_R_.>"
    boxes = [subject for subject in rights.subscribe if subject.startswith("_INBOX")]
    assert boxes == [f"_INBOX.{user}.>"], "its own answers, and nobody else's"


def test_a_direct_worker_has_rights_at_its_own_subjects_only() -> None:
    rights = worker_rights("sid", "cid")
    assert all("*" not in subject or subject.endswith("u.chunk.*") for subject in rights.publish)
    for subject in (*rights.publish, *rights.subscribe):
        assert subject.startswith(("wk.sid.cid.", "edge.cid.", "_INBOX.cid."))
    assert rights.answers == 0


@pytest.mark.parametrize(
    ("question", "label"),
    [("rpc.reg.attach", "rpc.reg"), ("hb.gw.x", "hb.gw"), ("$JS.API.A.B", "$JS.API"), ("a", "a")],
)
def test_an_answers_address_names_what_was_asked(question: str, label: str) -> None:
    assert answers_under(question) == label


def test_nobody_can_guess_the_key_of_anothers_event() -> None:
    mine, other = event_keys("my secret"), event_keys("another")
    assert event_key(mine, "r", 1, 1, 2) != event_key(other, "r", 1, 1, 2)
    assert event_key(mine, "r", 1, 1, 2) == event_key(event_keys("my secret"), "r", 1, 1, 2)
    assert len({event_key(mine, "r", a, n, c) for a in (1, 2) for n in (1, 2) for c in (1, 2)}) == 8
    assert "my secret" not in event_key(mine, "r", 1, 1, 2)
