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


class Expected(NamedTuple):
    """What is expected of a site. Shapes: `period`, the first one now; `item` uses of power."""

    price: Floats  # (period,) of a MWh from the grid at the meter [USD/MWh]
    sold: Floats  # (period,) what flows back earns [USD/MWh]
    own_mw: Floats  # (period,) supply on the site's side of the meter
    hold_mw: Floats  # (period,) sold as reserve, of which load that earns its energy holds some
    hold_usd: Floats  # (period,) what failing that costs [USD/MW/h]
    item_mw: Floats  # (item,)
    item_usd: Floats  # (item,) what uses earn [USD/MWh]


class Steps(NamedTuple):
    """The supply and the uses of a period by rising price: what one more MW costs."""

    usd: Floats  # (step,) [USD/MWh]
    mw: Floats  # (step,) at the meter


class Parts(NamedTuple):
    """Parts of what is stored, and what each of them is worth."""

    mwh: Floats  # (part,)
    usd: Floats  # (part,) [USD/MWh]


class Changes(NamedTuple):
    """What may be done in a period, the dearest charging first, then the best discharging."""

    charge: int  # how many parts would be charged
    made: int  # and how many there are in all
    parts: Parts


@kernel
def steps_of(t: int, store: Store, expected: Expected, steps: Steps) -> tuple[int, float, float]:
    """Fill the steps of a period.

    Returns how many, what the battery draws below the first of them [MW at the meter, below 0: it
    feeds all uses and what may be exported], and the load that earns more than its energy costs.
    """
    price, own_mw = expected.price[t], expected.own_mw[t]
    item_mw, item_usd = expected.item_mw, expected.item_usd
    room = store.room_now_mw if t == 0 else store.room_mw
    earning = 0.0
    feeds = -store.overhead_mw
    for i in range(item_mw.size):
        if item_usd[i] > price:
            earning += item_mw[i]
        feeds -= item_mw[i]
    earning = min(earning, room)
    grid_usd = price
    sold_usd = expected.sold[t]
    saved = 0.0
    if store.block_mw > 0.0:
        # What is sold would have taken the place of the block.
        sold_usd = min(sold_usd, store.block_usd_per_mwh)
        if earning + store.overhead_mw - own_mw < store.block_mw:
            grid_usd = max(grid_usd, store.block_usd_per_mwh)
        saved = max(grid_usd - store.block_usd_per_mwh, 0.0)
    most = room + store.overhead_mw
    of_block = min(store.block_mw, most)
    lost = store.at_meter * store.at_meter  # on the way out, of what is at the site
    feeds -= store.export_mw * lost
    steps.usd[0], steps.mw[0] = sold_usd / lost, store.export_mw * lost
    steps.usd[1], steps.mw[1] = grid_usd - saved, of_block
    steps.usd[2], steps.mw[2] = grid_usd, most - of_block
    if store.export_mw > 0.0 and steps.usd[0] > steps.usd[1]:
        # A meter does not draw and feed back at once: what is given feeds the load first.
        return 3, own_mw - store.overhead_mw - earning - store.export_mw * lost, earning
    steps.usd[3], steps.mw[3] = store.own_usd_per_mwh, own_mw
    for i in range(item_mw.size):
        steps.usd[MARKET_STEPS + i], steps.mw[MARKET_STEPS + i] = item_usd[i], item_mw[i]
    count = item_mw.size + MARKET_STEPS
    sort_steps(count, steps)
    return count, feeds, earning


@kernel
def sort_steps(count: int, steps: Steps) -> None:
    """By rising price; few, and nearly sorted."""
    for i in range(1, count):
        usd, mw = steps.usd[i], steps.mw[i]
        k = i - 1
        while k >= 0 and steps.usd[k] > usd:
            steps.usd[k + 1], steps.mw[k + 1] = steps.usd[k], steps.mw[k]
            k -= 1
        steps.usd[k + 1], steps.mw[k + 1] = usd, mw


@kernel
def changes_of(
    count: int,
    feeds: float,
    hours: float,
    put_off: float,
    store: Store,
    steps: Steps,
    parts: Parts,
) -> tuple[int, int]:
    """What a period's changes of the store cost and earn, the dearest charging first.

    Fills parts of what is stored [MWh] and what each is worth in the period [USD/MWh]: first those
    that would be charged, then those that would be discharged. Returns how many of them are
    charged, and how many there are in all.
    """
    most = store.power_mw * store.at_meter
    top = feeds
    for k in range(count):
        top += steps.mw[k]
    made = 0
    for k in range(count - 1, -1, -1):  # from what would cost most
        below = top - steps.mw[k]
        from_mw, to_mw = min(top, most), max(below, 0.0)
        if from_mw > to_mw:
            parts.mwh[made] = (from_mw - to_mw) / store.at_meter * store.one_way * hours
            parts.usd[made] = (steps.usd[k] * store.at_meter + put_off) / store.one_way
            made += 1
        top = below
    charge = made
    top = feeds
    for k in range(count):
        top += steps.mw[k]
    for k in range(count - 1, -1, -1):
        below = top - steps.mw[k]
        from_mw, to_mw = min(top, 0.0), max(below, -most)
        if from_mw > to_mw:
            parts.mwh[made] = (from_mw - to_mw) / store.at_meter / store.one_way * hours
            earned = steps.usd[k] * store.at_meter - store.wear_usd_per_mwh - put_off
            parts.usd[made] = earned * store.one_way
            made += 1
        top = below
    return charge, made


@kernel
def hold_back(first: int, count: int, free_mwh: float, usd: float, parts: Parts) -> int:
    """Take `usd` off what is discharged beyond `free_mwh`: parts from `first` on. How many."""
    left = free_mwh
    k = first
    while k < count:
        if left <= 0.0:
            parts.usd[k] -= usd
        elif parts.mwh[k] > left:
            split(k, count, left, parts)
            count += 1
            left = 0.0
        else:
            left -= parts.mwh[k]
        k += 1
    return count


@kernel
def split(k: int, count: int, mwh: float, parts: Parts) -> None:
    """Make two of part `k` of so many: the first of `mwh`."""
    for j in range(count, k, -1):
        parts.mwh[j], parts.usd[j] = parts.mwh[j - 1], parts.usd[j - 1]
    parts.mwh[k] = mwh
    parts.mwh[k + 1] -= mwh


@kernel
def hull(count: int, parts: Parts) -> int:
    """Make the worth of parts fall, neighbours that rise at their mean: how many are left.

    It rises only where being paid for losses makes both ways within a period worth it: half of its
    time the one, half of it the other.
    """
    left = 0
    for k in range(count):
        mwh, usd = parts.mwh[k], parts.usd[k]
        while left > 0 and parts.usd[left - 1] < usd:
            whole = parts.mwh[left - 1] + mwh
            usd = (parts.mwh[left - 1] * parts.usd[left - 1] + mwh * usd) / whole
            mwh = whole
            left -= 1
        parts.mwh[left], parts.usd[left] = mwh, usd
        left += 1
    return left


@kernel
def merge(
    slopes: int,
    value: Parts,
    count: int,
    parts: Parts,
    skip_mwh: float,
    energy_mwh: float,
    merged: Parts,
) -> int:
    """Both lists by falling worth, without the first `skip_mwh`, up to a full store. How many."""
    a = 0
    b = 0
    made = 0
    skip = skip_mwh
    left = energy_mwh
    while left > 0.0 and (a < slopes or b < count):
        if b == count or (a < slopes and value.usd[a] >= parts.usd[b]):
            mwh, usd = value.mwh[a], value.usd[a]
            a += 1
        else:
            mwh, usd = parts.mwh[b], parts.usd[b]
            b += 1
        if mwh <= skip:
            skip -= mwh
            continue
        mwh = min(mwh - skip, left)
        skip = 0.0
        left -= mwh
        merged.mwh[made], merged.usd[made] = mwh, usd
        made += 1
    return made


@kernel
def add_below(slopes: int, below_mwh: float, usd: float, value: Parts) -> int:
    """Add `usd` to what each of the first `below_mwh` of the store is worth: how many slopes."""
    left = below_mwh
    k = 0
    while k < slopes and left > 0.0:
        if value.mwh[k] > left:
            split(k, slopes, left, value)
            slopes += 1
        value.usd[k] += usd
        left -= value.mwh[k]
        k += 1
    return slopes


@kernel
def gain_of(
    change_mwh: float,
    changes: Changes,
    stored_mwh: float,
    slopes: int,
    value: Parts,
    store: Store,
    fails: Floats,
) -> float:
    """What a change of the store now is worth over none [USD]; -inf where it cannot be.

    `fails` is what must stand by [MW], and what a megawatt of it costs that does not [USD].
    """
    charge, parts = changes.charge, changes.parts
    left = abs(change_mwh)
    gain = 0.0
    for n in range(charge if change_mwh > 0.0 else changes.made - charge):
        k = charge - 1 - n if change_mwh > 0.0 else charge + n
        mwh = min(left, parts.mwh[k])
        gain += -mwh * parts.usd[k] if change_mwh > 0.0 else mwh * parts.usd[k]
        left -= mwh
    to_mwh = stored_mwh + change_mwh
    if left > EVEN or to_mwh < -EVEN or to_mwh > store.energy_mwh + EVEN:
        return -np.inf
    least, most, at = min(stored_mwh, to_mwh), max(stored_mwh, to_mwh), 0.0
    worth = 0.0
    for k in range(slopes):
        worth += max(min(at + value.mwh[k], most) - max(at, least), 0.0) * value.usd[k]
        at += value.mwh[k]
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
def battery_now(store: Store, expected: Expected) -> float:
    """Power of now at the battery's terminals [MW], below 0 discharging.

    What is left in the store at the end counts nothing. In later periods a reserve that fails for
    want of power and of what is stored counts twice; in the first it counts once, as it is paid.
    """
    size = expected.item_mw.size + MARKET_STEPS
    steps = Steps(np.empty(size), np.empty(size))
    parts = Parts(np.empty(2 * size + 1), np.empty(2 * size + 1))
    slopes, value = worth_later(store, expected, steps, parts)
    count, feeds, earning = steps_of(0, store, expected, steps)
    charge, count = changes_of(count, feeds, store.first_h, 0.0, store, steps, parts)
    changes = Changes(charge, count, parts)
    held = min(max(expected.hold_mw[0] - earning, 0.0), store.power_mw * store.at_meter)
    fails = np.array([held, expected.hold_usd[0] * store.first_h if held > 0.0 else 0.0])
    stored = min(max(store.stored_mwh, 0.0), store.energy_mwh)
    best, change = EVEN, 0.0
    for kink in kinks_of(changes, slopes, value, stored, held, store):
        gain = gain_of(kink, changes, stored, slopes, value, store, fails)
        if gain > best:
            best, change = gain, kink
    return change / store.first_h * (1.0 / store.one_way if change > 0.0 else store.one_way)


@kernel
def worth_later(store: Store, expected: Expected, steps: Steps, parts: Parts) -> tuple[int, Parts]:
    """What is stored at the end of the first period is worth by the periods after it: its slopes.

    `steps` and `parts` are scratch.
    """
    periods = expected.price.size
    size = periods * (parts.mwh.size + 1) + 2
    value = Parts(np.empty(size), np.empty(size))
    merged = Parts(np.empty(size), np.empty(size))
    value.mwh[0], value.usd[0] = store.energy_mwh, 0.0
    slopes = 1
    at_end = store.one_way * store.at_meter  # MWh at the meter of one that is stored
    most_mw = store.power_mw * store.at_meter
    for t in range(periods - 1, 0, -1):
        count, feeds, earning = steps_of(t, store, expected, steps)
        charge, count = changes_of(count, feeds, 1.0, SOONER * t, store, steps, parts)
        held = min(max(expected.hold_mw[t] - earning, 0.0), most_mw)
        if held > 0.0 and expected.hold_usd[t] > 0.0:
            free_mwh, usd = (most_mw - held) / at_end, expected.hold_usd[t] * at_end
            count = hold_back(charge, count, free_mwh, usd, parts)
            if store.hold_h > 0.0:
                below_mwh = held * store.hold_h / at_end
                slopes = add_below(slopes, below_mwh, usd / store.hold_h, value)
        skip = 0.0
        for k in range(charge):
            skip += parts.mwh[k]
        count = hull(count, parts)
        slopes = merge(slopes, value, count, parts, skip, store.energy_mwh, merged)
        value, merged = merged, value
    return slopes, value


@kernel
def kinks_of(
    changes: Changes, slopes: int, value: Parts, stored: float, held: float, store: Store
) -> Floats:
    """Changes of the store (kink,) [MWh] at which the gain bends: it is concave either way.

    Where a part, a slope or what stands by ends.
    """
    charge, parts = changes.charge, changes.parts
    kinks = np.zeros(changes.made + slopes + 4)
    found = 0
    total = 0.0
    for k in range(charge - 1, -1, -1):
        total += parts.mwh[k]
        kinks[found] = total
        found += 1
    total = 0.0
    for k in range(charge, changes.made):
        total -= parts.mwh[k]
        kinks[found] = total
        found += 1
    total = -stored
    kinks[found] = total
    for k in range(slopes):
        total += value.mwh[k]
        kinks[found + 1 + k] = total
    found += slopes + 1
    if held > 0.0:
        at_end = store.one_way * store.at_meter
        free_mw = store.power_mw * store.at_meter - held
        asks_mwh = held * store.hold_h / at_end
        kinks[found] = -free_mw / at_end * store.first_h
        kinks[found + 1] = asks_mwh - stored
        if store.hold_h != store.first_h:  # both fail by as much
            power, energy = at_end / store.first_h, at_end / max(store.hold_h, 1e-9)
            kinks[found + 2] = (free_mw + held - stored * energy) / (energy - power)
        found += 3
    return kinks[:found]
