"""The race for a seat, decided by a pure function."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spaces_contracts.problems import Code
from spaces_registry.seats import Claim, Place, Refusal, Repeat, Seated, choose_seat

SECRETS = st.sampled_from(["s1", "s2"])
INSTANCES = st.sampled_from(["i1", "i2", "i3"])


@st.composite
def rooms(draw: st.DrawFn) -> tuple[list[Seated], int]:
    size = draw(st.integers(1, 4))
    seats = draw(st.lists(st.integers(0, 5), unique=True, max_size=5))
    seated = [
        Seated(
            connection_id=f"c{seat}",
            seat=seat,
            epoch=draw(st.integers(1, 100)) * 10 + seat,
            instance_id=draw(INSTANCES),
            instance_secret_sha256=draw(SECRETS),
            leaving=draw(st.booleans()),
        )
        for seat in seats
    ]
    return seated, size


CLAIMS = st.builds(
    Claim,
    connection_id=st.sampled_from(["new", "c0", "c1"]),
    instance_id=INSTANCES,
    instance_secret_sha256=SECRETS,
    takeover=st.booleans(),
)


@given(CLAIMS, rooms())
def test_afterwards_no_seat_is_held_twice_and_no_one_sits_beyond_the_room(
    claim: Claim, room: tuple[list[Seated], int]
) -> None:
    seated, size = room
    decision = choose_seat(claim, seated, size)
    if isinstance(decision, Place):
        left = [one for one in seated if one.connection_id not in decision.supersedes]
        assert decision.seat not in {one.seat for one in left}
        mine = [one for one in seated if one.connection_id in decision.supersedes]
        own_ghost = bool(mine) and all(one.instance_id == claim.instance_id for one in mine)
        assert decision.seat < size or own_ghost
        assert claim.connection_id not in {one.connection_id for one in seated}


@given(CLAIMS, rooms())
def test_nobody_loses_a_seat_to_another_worker_without_a_takeover(
    claim: Claim, room: tuple[list[Seated], int]
) -> None:
    seated, size = room
    decision = choose_seat(replace(claim, takeover=False), seated, size)
    if isinstance(decision, Place):
        for one in seated:
            if one.connection_id in decision.supersedes:
                assert one.instance_id == claim.instance_id
                assert one.instance_secret_sha256 == claim.instance_secret_sha256


@given(CLAIMS, rooms())
def test_an_instance_is_nobody_without_its_secret(
    claim: Claim, room: tuple[list[Seated], int]
) -> None:
    seated, size = room
    stolen = any(
        one.instance_id == claim.instance_id
        and one.instance_secret_sha256 != claim.instance_secret_sha256
        for one in seated
    )
    decision = choose_seat(claim, seated, size)
    if stolen:
        assert isinstance(decision, Refusal)
        assert decision.problem.code is Code.FORBIDDEN


@given(CLAIMS, rooms())
def test_a_free_seat_is_given_and_the_lowest_first(
    claim: Claim, room: tuple[list[Seated], int]
) -> None:
    seated, size = room
    strangers = [one for one in seated if one.instance_id != claim.instance_id]
    fresh = replace(claim, connection_id="new")
    decision = choose_seat(fresh, strangers, size)
    free = [seat for seat in range(size) if seat not in {one.seat for one in strangers}]
    if free:
        assert decision == Place(free[0])
    elif claim.takeover:
        assert isinstance(decision, Place)
        assert len(decision.supersedes) == 1
    else:
        assert isinstance(decision, Refusal)
        assert decision.problem.code is Code.ALREADY_CONNECTED
        leaving = any(one.leaving for one in strangers)
        assert decision.holder == ("suspect" if leaving else "live")
        assert decision.problem.retry_after_s == (3.0 if leaving else None)
        assert decision.problem.facts == {"holder": decision.holder, "max_connections": size}


def seat(number: int, instance: str, *, epoch: int = 1, leaving: bool = False) -> Seated:
    return Seated(f"c{number}", number, epoch, instance, "s1", leaving)


def test_a_takeover_ends_who_is_leaving_else_the_oldest() -> None:
    claim = Claim("new", "mine", "s1", takeover=True)
    old, young = seat(0, "a", epoch=3), seat(1, "b", epoch=7)
    assert choose_seat(claim, [old, young], 2) == Place(0, ("c0",))
    leaving = replace(young, leaving=True)
    assert choose_seat(claim, [old, leaving], 2) == Place(1, ("c1",))


def test_a_worker_that_comes_back_supersedes_all_its_ghosts_and_keeps_the_lowest_seat() -> None:
    claim = Claim("new", "a", "s1")
    assert choose_seat(claim, [seat(2, "a"), seat(1, "a"), seat(0, "b")], 3) == Place(
        1, ("c1", "c2")
    )


def test_an_attach_that_came_twice_keeps_its_seat() -> None:
    claim = Claim("c1", "a", "s1")
    assert choose_seat(claim, [seat(1, "a", epoch=5)], 2) == Repeat(1, 5)


def test_a_connection_id_of_another_worker_is_not_taken_over_by_naming_it() -> None:
    decision = choose_seat(Claim("c0", "b", "s1", takeover=True), [seat(0, "a")], 1)
    assert isinstance(decision, Refusal)
    assert decision.problem.code is Code.FORBIDDEN
    assert decision.holder is None


def test_workers_above_a_shrunken_room_are_not_taken_over() -> None:
    decision = choose_seat(Claim("new", "b", "s1", takeover=True), [seat(0, "a"), seat(1, "c")], 1)
    assert decision == Place(0, ("c0",))


def test_the_refusal_says_how_many_are_there() -> None:
    one = choose_seat(Claim("new", "b", "s1"), [seat(0, "a")], 1)
    two = choose_seat(Claim("new", "b", "s1"), [seat(0, "a"), seat(1, "c")], 2)
    assert isinstance(one, Refusal)
    assert one.problem.message == "The space already has a worker connected"
    assert isinstance(two, Refusal)
    assert two.problem.message == "The space already has 2 workers connected"


def test_who_is_far_above_a_shrunken_room_is_not_taken_over_even_while_leaving() -> None:
    room = [seat(0, "a"), seat(1, "b", leaving=True), seat(3, "c", leaving=True)]
    assert choose_seat(Claim("new", "d", "s1", takeover=True), room, 1) == Place(0, ("c0",))


def test_ids_are_compared_and_not_ordered() -> None:
    for connection_id in ("a", "z"):
        assert choose_seat(Claim(connection_id, "d", "s1"), [seat(0, "a")], 2) == Place(1)


def test_a_connection_stays_unless_it_is_said_to_leave() -> None:
    assert not Seated("c0", 0, 1, "a", "s1").leaving
