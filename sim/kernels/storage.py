"""What a battery does now beside the loads of its site, for the most margin over the hours ahead.

An exact recursion in place of a linear programme, where nothing ties the hours together but what is
stored. The margin of an hour is concave in what the battery draws, so the value of what is stored
is concave too: it is kept as its slopes in falling order, and an hour's margin joins them by a
merge of sorted slopes (the supremal convolution of concave functions; Rockafellar, Convex Analysis,
1970, section 16).
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.jit import kernel
from sim.types import Floats

EVEN: Final = 1e-9  # USD/MWh: what earns no more than this is left
SOONER: Final = 1e-4  # USD/MWh an hour: of hours that are equal the first, nothing is put off
MARKET_STEPS: Final = 4  # of what is on the market beside uses: grid, block, own supply, export


class Store(NamedTuple):
    """A battery and its site. Powers at the meter [MW] but the battery's, at its terminals."""

    power_mw: float
    energy_mwh: float
    one_way: float  # efficiency
    wear_usd_per_mwh: float  # of what is discharged
    at_meter: float  # MW at the meter for one at the terminals
    stored_mwh: float
    first_h: float  # length of the first period; the others last an hour
    room_now_mw: float  # most that machines and battery may draw, in the first period
    room_mw: float  # and later
    overhead_mw: float  # drawn in any case
    export_mw: float  # most that may flow back
    block_mw: float  # of a contract
    block_usd_per_mwh: float
    own_usd_per_mwh: float  # fuel of own supply
    hold_h: float  # for which a reserve must last


@kernel
def steps_of(
    t: int,
    store: Store,
    price: Floats,
    sold: Floats,
    own_mw: Floats,
    item_mw: Floats,
    item_usd: Floats,
    step_usd: Floats,
    step_mw: Floats,
) -> tuple[int, float, float]:
    """The supply and the uses of a period by rising price: the steps of what one more MW costs.

    Returns how many, what the battery draws below the first of them [MW at the meter, below 0: it
    feeds all uses and what may be exported], and the load that earns more than its energy costs.
    """  # fmt: skip
    room = store.room_now_mw if t == 0 else store.room_mw
    earning = 0.0
    feeds = -store.overhead_mw
    for i in range(item_mw.size):
        if item_usd[i] > price[t]:
            earning += item_mw[i]
        feeds -= item_mw[i]
    earning = min(earning, room)
    grid_usd = price[t]
    sold_usd = sold[t]
    saved = 0.0
    if store.block_mw > 0.0:
        sold_usd = min(
            sold_usd, store.block_usd_per_mwh
        )  # it would have taken the place of the block
        if earning + store.overhead_mw - own_mw[t] < store.block_mw:
            grid_usd = max(grid_usd, store.block_usd_per_mwh)
        saved = max(grid_usd - store.block_usd_per_mwh, 0.0)
    most = room + store.overhead_mw
    of_block = min(store.block_mw, most)
    lost = store.at_meter * store.at_meter  # on the way out, of what is at the site
    feeds -= store.export_mw * lost
    step_usd[0], step_mw[0] = sold_usd / lost, store.export_mw * lost
    step_usd[1], step_mw[1] = grid_usd - saved, of_block
    step_usd[2], step_mw[2] = grid_usd, most - of_block
    if store.export_mw > 0.0 and step_usd[0] > step_usd[1]:
        # A meter does not draw and feed back at once: what is given feeds the load first.
        return 3, own_mw[t] - store.overhead_mw - earning - store.export_mw * lost, earning
    step_usd[3], step_mw[3] = store.own_usd_per_mwh, own_mw[t]
    for i in range(item_mw.size):
        step_usd[MARKET_STEPS + i], step_mw[MARKET_STEPS + i] = item_usd[i], item_mw[i]
    count = item_mw.size + MARKET_STEPS
    for i in range(1, count):  # few, and nearly sorted
        usd, mw = step_usd[i], step_mw[i]
        k = i - 1
        while k >= 0 and step_usd[k] > usd:
            step_usd[k + 1], step_mw[k + 1] = step_usd[k], step_mw[k]
            k -= 1
        step_usd[k + 1], step_mw[k + 1] = usd, mw
    return count, feeds, earning


@kernel
def changes_of(
    count: int,
    feeds: float,
    hours: float,
    put_off: float,
    store: Store,
    step_usd: Floats,
    step_mw: Floats,
    part_mwh: Floats,
    part_usd: Floats,
) -> tuple[int, int]:
    """What a period's changes of the store cost and earn, the dearest charging first.

    Fills parts of what is stored [MWh] and what each is worth in the period [USD/MWh]: `charge` of
    them, of what would be charged, then what would be discharged, in all `parts`: both returned.
    """  # fmt: skip
    most = store.power_mw * store.at_meter
    top = feeds
    for k in range(count):
        top += step_mw[k]
    parts = 0
    charge = 0
    for k in range(count - 1, -1, -1):  # from what would cost most
        below = top - step_mw[k]
        from_mw, to_mw = min(top, most), max(below, 0.0)
        if from_mw > to_mw:
            part_mwh[parts] = (from_mw - to_mw) / store.at_meter * store.one_way * hours
            part_usd[parts] = (step_usd[k] * store.at_meter + put_off) / store.one_way
            parts += 1
        top = below
    charge = parts
    top = feeds
    for k in range(count):
        top += step_mw[k]
    for k in range(count - 1, -1, -1):
        below = top - step_mw[k]
        from_mw, to_mw = min(top, 0.0), max(below, -most)
        if from_mw > to_mw:
            part_mwh[parts] = (from_mw - to_mw) / store.at_meter / store.one_way * hours
            earned = step_usd[k] * store.at_meter - store.wear_usd_per_mwh - put_off
            part_usd[parts] = earned * store.one_way
            parts += 1
        top = below
    return charge, parts


@kernel
def hold_back(
    first: int, parts: int, free_mwh: float, usd: float, part_mwh: Floats, part_usd: Floats
) -> int:
    """Take `usd` off what is discharged beyond `free_mwh`: parts from `first` on. How many."""
    left = free_mwh
    k = first
    while k < parts:
        if left <= 0.0:
            part_usd[k] -= usd
        elif part_mwh[k] > left:
            for j in range(parts, k, -1):
                part_mwh[j], part_usd[j] = part_mwh[j - 1], part_usd[j - 1]
            part_mwh[k] = left
            part_mwh[k + 1] -= left
            parts += 1
            left = 0.0
        else:
            left -= part_mwh[k]
        k += 1
    return parts


@kernel
def hull(parts: int, part_mwh: Floats, part_usd: Floats) -> int:
    """Make the worth of parts fall, neighbours that rise at their mean: how many are left.

    It rises only where being paid for losses makes both ways within a period worth it: half of its
    time the one, half of it the other.
    """
    left = 0
    for k in range(parts):
        mwh, usd = part_mwh[k], part_usd[k]
        while left > 0 and part_usd[left - 1] < usd:
            whole = part_mwh[left - 1] + mwh
            usd = (part_mwh[left - 1] * part_usd[left - 1] + mwh * usd) / whole
            mwh = whole
            left -= 1
        part_mwh[left], part_usd[left] = mwh, usd
        left += 1
    return left


@kernel
def merge(
    slopes: int,
    value_mwh: Floats,
    value_usd: Floats,
    parts: int,
    part_mwh: Floats,
    part_usd: Floats,
    skip_mwh: float,
    energy_mwh: float,
    to_mwh: Floats,
    to_usd: Floats,
) -> int:
    """Both lists by falling worth, without the first `skip_mwh`, up to a full store."""
    a = 0
    b = 0
    made = 0
    skip = skip_mwh
    left = energy_mwh
    while left > 0.0 and (a < slopes or b < parts):
        if b == parts or (a < slopes and value_usd[a] >= part_usd[b]):
            mwh, usd = value_mwh[a], value_usd[a]
            a += 1
        else:
            mwh, usd = part_mwh[b], part_usd[b]
            b += 1
        if mwh <= skip:
            skip -= mwh
            continue
        mwh = min(mwh - skip, left)
        skip = 0.0
        left -= mwh
        to_mwh[made], to_usd[made] = mwh, usd
        made += 1
    return made


@kernel
def add_below(slopes: int, below_mwh: float, usd: float, mwh: Floats, worth: Floats) -> int:
    """Add `usd` to what each of the first `below_mwh` of the store is worth: how many slopes."""
    left = below_mwh
    k = 0
    while k < slopes and left > 0.0:
        if mwh[k] > left:
            for j in range(slopes, k, -1):
                mwh[j], worth[j] = mwh[j - 1], worth[j - 1]
            mwh[k] = left
            mwh[k + 1] -= left
            slopes += 1
        worth[k] += usd
        left -= mwh[k]
        k += 1
    return slopes


@kernel
def gain_of(
    change_mwh: float,
    charge: int,
    parts: int,
    part_mwh: Floats,
    part_usd: Floats,
    stored_mwh: float,
    slopes: int,
    value_mwh: Floats,
    value_usd: Floats,
    store: Store,
    fails: Floats,
) -> float:
    """What a change of the store now is worth over none [USD]; -inf where it cannot be.

    `fails` is what must stand by [MW], and what a megawatt of it costs that does not [USD].
    """  # fmt: skip
    left = abs(change_mwh)
    gain = 0.0
    for n in range(charge if change_mwh > 0.0 else parts - charge):
        k = charge - 1 - n if change_mwh > 0.0 else charge + n
        mwh = min(left, part_mwh[k])
        gain += -mwh * part_usd[k] if change_mwh > 0.0 else mwh * part_usd[k]
        left -= mwh
    to_mwh = stored_mwh + change_mwh
    if left > EVEN or to_mwh < -EVEN or to_mwh > store.energy_mwh + EVEN:
        return -np.inf
    least, most, at = min(stored_mwh, to_mwh), max(stored_mwh, to_mwh), 0.0
    worth = 0.0
    for k in range(slopes):
        worth += max(min(at + value_mwh[k], most) - max(at, least), 0.0) * value_usd[k]
        at += value_mwh[k]
    gain += worth if change_mwh > 0.0 else -worth
    if fails[1] > 0.0:
        at_end = store.one_way * store.at_meter
        fed_mw = max(-change_mwh, 0.0) * at_end / store.first_h
        spare_mw = store.power_mw * store.at_meter - fed_mw
        lasts_mw, now_mw = np.inf, np.inf
        if store.hold_h > 0.0:
            lasts_mw, now_mw = to_mwh * at_end / store.hold_h, stored_mwh * at_end / store.hold_h
        short = max(fails[0] - min(spare_mw, lasts_mw), 0.0) - max(fails[0] - now_mw, 0.0)
        gain -= short * fails[1]
    return gain


@kernel
def battery_now(
    store: Store,
    price: Floats,
    sold: Floats,
    own_mw: Floats,
    hold_mw: Floats,
    hold_usd: Floats,
    item_mw: Floats,
    item_usd: Floats,
) -> float:
    """Power of now at the battery's terminals [MW], below 0 discharging.

    Args:
        store: the battery and its site.
        price: (period,) of a MWh from the grid at the meter [USD/MWh].
        sold: (period,) what flows back earns [USD/MWh].
        own_mw: (period,) supply on the site's side of the meter.
        hold_mw: (period,) sold as reserve, of which load that earns its energy holds what it can.
        hold_usd: (period,) what failing that costs [USD/MW/h].
        item_mw: (item,) uses of power.
        item_usd: (item,) what they earn [USD/MWh].

    What is left in the store at the end counts nothing. In later periods a reserve that fails for
    want of power and of what is stored counts twice; in the first it counts once, as it is paid.
    """  # fmt: skip
    periods = price.size
    steps = item_mw.size + MARKET_STEPS
    step_usd, step_mw = np.empty(steps), np.empty(steps)
    part_mwh, part_usd = np.empty(2 * steps + 1), np.empty(2 * steps + 1)
    size = periods * (2 * steps + 2) + 2
    value_mwh, value_usd = np.empty(size), np.empty(size)
    next_mwh, next_usd = np.empty(size), np.empty(size)
    value_mwh[0], value_usd[0] = store.energy_mwh, 0.0
    slopes = 1
    at_end = store.one_way * store.at_meter  # MWh at the meter of one that is stored
    most_mw = store.power_mw * store.at_meter
    for t in range(periods - 1, 0, -1):
        count, feeds, earning = steps_of(
            t, store, price, sold, own_mw, item_mw, item_usd, step_usd, step_mw
        )
        charge, parts = changes_of(
            count, feeds, 1.0, SOONER * t, store, step_usd, step_mw, part_mwh, part_usd
        )
        held = min(max(hold_mw[t] - earning, 0.0), most_mw)
        if held > 0.0 and hold_usd[t] > 0.0:
            free_mwh = (most_mw - held) / at_end
            parts = hold_back(charge, parts, free_mwh, hold_usd[t] * at_end, part_mwh, part_usd)
            if store.hold_h > 0.0:
                below_mwh = held * store.hold_h / at_end
                slopes = add_below(
                    slopes, below_mwh, hold_usd[t] * at_end / store.hold_h, value_mwh, value_usd
                )
        skip = 0.0
        for k in range(charge):
            skip += part_mwh[k]
        parts = hull(parts, part_mwh, part_usd)
        slopes = merge(
            slopes, value_mwh, value_usd, parts, part_mwh, part_usd, skip, store.energy_mwh,
            next_mwh, next_usd,
        )  # fmt: skip
        value_mwh, next_mwh = next_mwh, value_mwh
        value_usd, next_usd = next_usd, value_usd
    count, feeds, earning = steps_of(
        0, store, price, sold, own_mw, item_mw, item_usd, step_usd, step_mw
    )
    charge, parts = changes_of(
        count, feeds, store.first_h, 0.0, store, step_usd, step_mw, part_mwh, part_usd
    )
    held = min(max(hold_mw[0] - earning, 0.0), most_mw)
    fails = np.array([held, hold_usd[0] * store.first_h if held > 0.0 else 0.0])
    stored = min(max(store.stored_mwh, 0.0), store.energy_mwh)
    # The gain is concave either way, with kinks where a part, a slope or what stands by ends.
    kinks = np.zeros(parts + slopes + 4)
    found = 0
    total = 0.0
    for k in range(charge - 1, -1, -1):
        total += part_mwh[k]
        kinks[found] = total
        found += 1
    total = 0.0
    for k in range(charge, parts):
        total -= part_mwh[k]
        kinks[found] = total
        found += 1
    total = -stored
    kinks[found] = total
    for k in range(slopes):
        total += value_mwh[k]
        kinks[found + 1 + k] = total
    found += slopes + 1
    if held > 0.0:
        free_mw, asks_mwh = most_mw - held, held * store.hold_h / at_end
        kinks[found] = -free_mw / at_end * store.first_h
        kinks[found + 1] = asks_mwh - stored
        if store.hold_h != store.first_h:  # both fail by as much
            power, energy = at_end / store.first_h, at_end / max(store.hold_h, 1e-9)
            kinks[found + 2] = (free_mw + held - stored * energy) / (energy - power)
        found += 3
    best, change = EVEN, 0.0
    for k in range(found):
        gain = gain_of(
            kinks[k], charge, parts, part_mwh, part_usd, stored, slopes, value_mwh, value_usd,
            store, fails,
        )  # fmt: skip
        if gain > best:
            best, change = gain, kinks[k]
    return change / store.first_h * (1.0 / store.one_way if change > 0.0 else store.one_way)
