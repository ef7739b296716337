"""Grid cases as MATPOWER's users write them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from experiments.strangers.trial import Kind, Trial
from sim.grid import DcOpf, read_case

Draw = np.random.Generator

CASE: Final = """function mpc = three
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
 1 3 0 0 0 0 1 1 0 230 1 1.1 0.9;
 2 1 LOAD 0 0 0 1 1 0 230 1 1.1 0.9;
 3 1 10 0 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [ 1 0 0 0 0 1 100 1 900 0 ];
mpc.gencost = [ 2 0 0 3 0 20 0 ];
mpc.branch = [
 1 2 0.01 REACT 0 0 0 0 0 0 1 -360 360;
 2 3 0.01 0.2 0 0 0 0 0 0 1 -360 360;
];
"""


def _case(
    load_mw: object,
    reactance: object,
    right: Sequence[float] | None = None,
    after: str = "",
    says: Sequence[str] = (),
    change: Callable[[str], str] = lambda text: text,
    coding: str = "utf-8",
) -> Trial:
    """What comes out is the load of buses 2 and 3 [MW] and the reactance of the first line."""
    text = CASE.replace("LOAD", str(load_mw)).replace("REACT", str(reactance))

    def read(folder: Path) -> object:
        case = read_case(folder / "three.m")
        return [*case.load_mw[1:].tolist(), float(case.x_pu[0])]

    content = change(text + after).encode(coding)
    return Trial({"three.m": content}, read, right and list(right), tuple(says))


def rescaled(draw: Draw, number: int) -> Trial:
    """Statements behind the matrices: kW to MW, ohm to p.u.; what they make of the dispatch."""
    kw, ohm = float(draw.integers(1000, 9000)), round(float(draw.uniform(1.0, 9.0)), 3)
    scale = ("mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) / 1e3;",
             "mpc.bus(:, PD) = mpc.bus(:, PD) / 1e3;",
             "mpc.bus(:, 3) = mpc.bus(:, 3) * 1e-3;")[number % 3]  # fmt: skip
    after = (
        "[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD] = idx_bus;\n"
        "Vbase = mpc.bus(1, 10) * 1e3; Sbase = mpc.baseMVA * 1e6;\n"
        f"mpc.branch(:, [3 4]) = mpc.branch(:, [3 4]) / (Vbase^2 / Sbase);\n{scale}\n"
    )
    trial = _case(kw, ohm, [kw / 1e3, 0.01, ohm / 529.0], after)
    if number % 2:
        return trial

    def dispatched(folder: Path) -> object:
        found = DcOpf(read_case(folder / "three.m"), voll_usd_per_mwh=None).solve()
        return float(found.generation_mw.sum())

    return trial._replace(read=dispatched, right=kw / 1e3 + 0.01)


def expressions(draw: Draw, number: int) -> Trial:
    a, b = (int(x) for x in draw.integers(2, 90, 2))
    text, value = (
        (f"{a}/{b}", a / b), (f"{a}/sqrt({b})", a / math.sqrt(b)), (f"{a}e-1", a / 10),
        (f"({a}+{b})*2", (a + b) * 2), (f"{a}*sin(acos(0.8))", a * 0.6), (f"{b}^2/{a}", b * b / a),
    )[number % 6]  # fmt: skip
    return _case(text, 0.1, [value, 10.0, 0.1])


def dressed(draw: Draw, number: int) -> Trial:
    """Comments, continued lines, commas, line ends, encodings."""
    mw = float(draw.integers(20, 300))
    change, coding = (
        (lambda t: t.replace("mpc.bus = [", "mpc.bus = [ % Müll [1 2\n# too"), "cp1252"),
        (lambda t: t.replace(" 1 1 0 230", ", 1 1 0 ...\n 230"), "utf-8"),
        (lambda t: t.replace("\n", "\r\n"), "utf-8-sig"),
        (lambda t: t.replace("mpc.gen =", "%{\nmpc.bus = [];\n%}\nmpc.gen ="), "utf-8"),
        (lambda t: t.replace(" 2 1 ", "\t2,1,"), "utf-16"),
    )[number % 5]  # fmt: skip
    return _case(mw, 0.1, [mw, 10.0, 0.1], change=change, coding=coding)


def versions(draw: Draw, number: int) -> Trial:
    mw = float(draw.integers(20, 300))
    if number % 3 == 2:
        says = ["mpc.version = 3", "'1' or '2'"]
        return _case(mw, 0.1, says=says, change=lambda t: t.replace("'2'", "'3'"))
    if number % 3:
        return _case(mw, 0.1, [mw, 10.0, 0.1], change=lambda t: t.replace("'2'", "'1'"))

    def old(text: str) -> str:
        text = text.replace("mpc.version = '2';\n", "").replace("mpc.", "")
        return text.replace("mpc = three", "[baseMVA, bus, gen, branch, areas, gencost] = three")

    return _case(mw, 0.1, [mw, 10.0, 0.1], change=old)


def not_understood(draw: Draw, number: int) -> Trial:
    """Statements that nobody evaluates are named, not passed over."""
    statement, word = (
        ("for k = 1:3\nend", "`for`"), ("mpc = scale_load(2, mpc);", "scale_load"),
        ("x = nonsense;", "'nonsense'"), ("mpc.bus(:, 3) = mpc.bus(:, 3) * factor;", "'factor'"),
        ("mpc.A = [1 2 3];", "mpc.A"), ("while 1, end", "while"),
    )[number % 6]  # fmt: skip
    return _case(int(draw.integers(20, 300)), 0.1, after=statement + "\n", says=[word])


def wrong_grids(draw: Draw, number: int) -> Trial:
    mw = int(draw.integers(20, 300))
    old, new, words = (
        (f" 2 1 {mw} ", f" 2 1 {mw}e999 ", ["mpc.bus row 2, column 3 (PD)", "finite"]),
        (" 3 1 10 ", " 2 1 10 ", ["mpc.bus row 3, column 1 (BUS_I) = 2", "already"]),
        (" 2 3 0.01", " 2 9 0.01", ["mpc.branch row 2, column 2 (T_BUS) = 9", "no such bus"]),
        (" 3 1 10 ", " 3 7 10 ", ["mpc.bus row 3, column 2 (BUS_TYPE) = 7"]),
        ("0.01 0.1 ", "0.01 0 ", ["mpc.branch row 1, column 4 (BR_X) = 0"]),
        ("0 1 -360 360;\n];", "0 0 -360 360;\n];", ["mpc.bus row 3", "islanded"]),
        ("mpc.gencost = [ 2 0 0 3 0", "mpc.gencost = [ 2 0 0 3 -1", ["mpc.gencost row 1", ">= 0"]),
    )[number % 7]  # fmt: skip
    return _case(mw, 0.1, says=words, change=lambda text: text.replace(old, new))


def isolated(draw: Draw, number: int) -> Trial:
    """Buses of type 4 are out, and that is said; ties without impedance are short lines."""
    mw = float(draw.integers(20, 300))
    if number % 2:
        return _case(mw, 0.1, [mw, 10.0, 1e-4], change=lambda t: t.replace("0.01 0.1 ", "0 0 "))
    trial = _case(mw, 0.1, change=lambda t: t.replace(" 3 1 10 ", " 3 4 10 "))

    def read(folder: Path) -> object:
        case = read_case(folder / "three.m")
        return [case.load_mw.tolist(), any("with 10 MW of load: 3" in n for n in case.notes)]

    return trial._replace(read=read, right=[[0.0, mw, 0.0], True])


KINDS: Final[dict[str, Kind]] = {
    "cases: rescaled by statements": rescaled,
    "cases: expressions": expressions,
    "cases: comments, encodings, continued lines": dressed,
    "cases: versions": versions,
    "cases: statements that nobody evaluates": not_understood,
    "cases: wrong cells": wrong_grids,
    "cases: isolated buses, ties": isolated,
}
