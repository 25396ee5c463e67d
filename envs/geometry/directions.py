"""Directions on a circle from whole-number tables, so that a construction is the same on every processor."""

from __future__ import annotations

# sin of 0 to 90 degrees, times 10^9, rounded: written out, nothing is computed.
_SINE = (
    0, 17_452_406, 34_899_497, 52_335_956, 69_756_474, 87_155_743, 104_528_463,
    121_869_343, 139_173_101, 156_434_465, 173_648_178, 190_808_995, 207_911_691, 224_951_054,
    241_921_896, 258_819_045, 275_637_356, 292_371_705, 309_016_994, 325_568_154, 342_020_143,
    358_367_950, 374_606_593, 390_731_128, 406_736_643, 422_618_262, 438_371_147, 453_990_500,
    469_471_563, 484_809_620, 500_000_000, 515_038_075, 529_919_264, 544_639_035, 559_192_903,
    573_576_436, 587_785_252, 601_815_023, 615_661_475, 629_320_391, 642_787_610, 656_059_029,
    669_130_606, 681_998_360, 694_658_370, 707_106_781, 719_339_800, 731_353_702, 743_144_825,
    754_709_580, 766_044_443, 777_145_961, 788_010_754, 798_635_510, 809_016_994, 819_152_044,
    829_037_573, 838_670_568, 848_048_096, 857_167_301, 866_025_404, 874_619_707, 882_947_593,
    891_006_524, 898_794_046, 906_307_787, 913_545_458, 920_504_853, 927_183_855, 933_580_426,
    939_692_621, 945_518_576, 951_056_516, 956_304_756, 961_261_696, 965_925_826, 970_295_726,
    974_370_065, 978_147_601, 981_627_183, 984_807_753, 987_688_341, 990_268_069, 992_546_152,
    994_521_895, 996_194_698, 997_564_050, 998_629_535, 999_390_827, 999_847_695, 1_000_000_000,
)  # fmt: skip
ONE = 1_000_000_000


def sine(degrees: int) -> float:
    """The sine of a whole number of degrees, to nine places."""
    d = degrees % 360
    half, d = divmod(d, 180)
    return (-1 if half else 1) * _SINE[min(d, 180 - d)] / ONE


def cosine(degrees: int) -> float:
    """The cosine of a whole number of degrees, to nine places."""
    return sine(degrees + 90)


def direction(degrees: int) -> tuple[float, float]:
    """The unit vector at so many degrees counterclockwise from the x axis (y up)."""
    return cosine(degrees), sine(degrees)


def polar(center: tuple[float, float], radius: float, degrees: int) -> tuple[float, float]:
    """The point `radius` away from `center` in a direction."""
    x, y = direction(degrees)
    return center[0] + radius * x, center[1] + radius * y
