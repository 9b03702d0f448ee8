"""Which space somebody means."""

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.identifiers import is_id
from spaces_contracts.problems import Code, Problem
from spaces_registry.naming import Candidate, choose, parse_reference, space_not_found

NAMES = st.sampled_from(["chat", "draw", "0123456789abcdefghijklmnop"])
TENANTS = st.sampled_from(["default", "acme", "other"])
IDS = st.sampled_from([f"{letter}123456789abcdefghijklmnop" for letter in "0abc"])
CANDIDATES = st.lists(
    st.builds(Candidate, space_id=IDS, tenant_name=TENANTS, name=NAMES, in_scope=st.booleans()),
    max_size=6,
    unique_by=(lambda one: one.space_id, lambda one: (one.tenant_name, one.name)),
)
REFERENCES = st.one_of(NAMES, IDS, st.builds("{}/{}".format, TENANTS, NAMES), st.just("nowhere"))


@given(REFERENCES, CANDIDATES)
def test_the_answer_is_one_that_fits_and_may_be_served(ref: str, spaces: list[Candidate]) -> None:
    found = choose(parse_reference(ref), spaces)
    fitting = [
        one for one in spaces if ref in (one.space_id, one.name, f"{one.tenant_name}/{one.name}")
    ]
    by_id = [one for one in spaces if one.space_id == ref]
    usable = [one for one in by_id or fitting if one.in_scope]
    if isinstance(found, Candidate):
        assert usable == [found]
    elif found.code is Code.MULTIPLE_SPACES:
        assert len(usable) > 1
    elif found.code is Code.TOKEN_SCOPE:
        assert fitting
        assert not usable
    else:
        assert found == space_not_found(ref)
        assert not fitting


@given(REFERENCES, CANDIDATES)
def test_the_order_of_what_is_found_does_not_matter(ref: str, spaces: list[Candidate]) -> None:
    one, other = choose(parse_reference(ref), spaces), choose(parse_reference(ref), spaces[::-1])
    if isinstance(one, Problem) and one.code is Code.TOKEN_SCOPE:
        assert isinstance(other, Problem)
        assert other.code is one.code
    else:
        assert one == other


def test_several_spaces_are_named_for_the_person_to_choose() -> None:
    spaces = [
        Candidate("b" * 20, "default", "chat"),
        Candidate("a" * 20, "acme", "chat"),
    ]
    problem = choose(parse_reference("chat"), spaces)
    assert isinstance(problem, Problem)
    assert problem.code is Code.MULTIPLE_SPACES
    assert problem.message == (
        "Multiple spaces with name 'chat' found: acme/chat, default/chat."
        " Say tenant/name, or the space's id."
    )
    assert problem.facts == {
        "ref": "chat",
        "candidates": [
            {"space_id": "a" * 20, "tenant": "acme", "name": "chat"},
            {"space_id": "b" * 20, "tenant": "default", "name": "chat"},
        ],
    }


def test_a_space_out_of_scope_is_named_in_full() -> None:
    problem = choose(parse_reference("chat"), [Candidate("a" * 20, "acme", "chat", in_scope=False)])
    assert isinstance(problem, Problem)
    assert problem.code is Code.TOKEN_SCOPE
    assert problem.message == "The token does not cover space 'acme/chat'"
    assert problem.facts == {"ref": "chat"}


def test_an_unknown_space_is_quoted_back() -> None:
    problem = space_not_found("chta")
    assert problem.message == "No space 'chta' found"
    assert problem.facts == {"ref": "chta"}


@given(st.text(max_size=40))
def test_a_reference_splits_at_its_first_slash(text: str) -> None:
    reference = parse_reference(text)
    assert reference.text == text
    if "/" in text:
        assert f"{reference.tenant}/{reference.name}" == text
        assert "/" not in (reference.tenant or "")
        assert reference.possible_id is None
    else:
        assert (reference.tenant, reference.name) == (None, text)
        assert reference.possible_id == (text if is_id(text) else None)
