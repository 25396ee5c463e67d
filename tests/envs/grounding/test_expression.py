"""Expressions as trees: their size, and what is left when a part is taken out."""

from envs.grounding.expression import Beside, Is, Nearest, Not, Ordinal, Referring, Same, size, weaker

RED, CIRCLE, SMALL = Is("colour", "red"), Is("shape", "circle"), Is("size", "small")


def test_every_condition_and_pick_counts_once_at_any_depth() -> None:
    assert size(Referring((RED, CIRCLE))) == 2
    assert size(Referring((CIRCLE, Not(RED)))) == 2
    assert size(Referring((RED, CIRCLE), Ordinal(2, "left"))) == 3
    assert size(Referring((CIRCLE, Beside("left", Referring((RED, SMALL)))))) == 4
    assert size(Referring((CIRCLE,), Nearest(Referring((RED, Beside("above", Referring((SMALL,)))))))) == 5
    assert size(Referring((Not(Beside("left", Referring((RED, SMALL)))),))) == 3


def test_a_weaker_expression_lacks_exactly_one_part() -> None:
    whole = Referring((CIRCLE, Not(RED)), Ordinal(1, "left"))
    assert set(weaker(whole)) == {
        Referring((Not(RED),), Ordinal(1, "left")),
        Referring((CIRCLE,), Ordinal(1, "left")),
        Referring((CIRCLE, Not(RED))),
    }


def test_parts_of_an_anchor_are_taken_out_too() -> None:
    anchor = Referring((RED, SMALL))
    assert set(weaker(Referring((CIRCLE, Beside("left", anchor))))) == {
        Referring((Beside("left", anchor),)),
        Referring((CIRCLE,)),
        Referring((CIRCLE, Beside("left", Referring((RED,))))),
        Referring((CIRCLE, Beside("left", Referring((SMALL,))))),
    }
    assert set(weaker(Referring((), Nearest(anchor)))) == {
        Referring(()),
        Referring((), Nearest(Referring((RED,)))),
        Referring((), Nearest(Referring((SMALL,)))),
    }
    assert Referring((Same("size", Referring((RED,))),)) in set(weaker(Referring((Same("size", anchor),))))
    assert Referring((Not(Beside("left", Referring((RED,)))),)) in set(
        weaker(Referring((Not(Beside("left", anchor)),)))
    )
