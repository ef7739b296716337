"""Plant defects one by one in a copy of the sources, and see whether the tests find them.

Each defect is a line of text replaced in one file, and the tests that must fail because of it. Run
by hand after a change to a kernel, the engine or the ledger (some minutes):

    python experiments/plant_defects.py [WORD …]     only defects whose name contains a word
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from sim.kernels.jit import source_digest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".mutation"
COPY = FOLDER / "copies" / "planted"  # always at the same place: compiled kernels belong to one
SKIPPED = shutil.ignore_patterns(
    ".git", ".venv", ".mutation", ".*_cache", ".hypothesis", "runs", "build", "__pycache__"
)


class Defect(NamedTuple):
    """A planted bug."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # what must fail


LAWS = "tests/laws/test_laws.py::"
SERVING = "tests/kernels/test_serving.py::"
FLEET = "tests/serving/test_fleet.py::"
POWER = "tests/kernels/test_power.py "
COSTS = "tests/finance/test_energy_costs.py "
CALLS = "tests/test_programmes.py "
IMPAIRED = "tests/finance/test_impairment.py "
BORROWED = "tests/finance/test_borrowing_costs.py "
MONEY = "tests/finance/test_treasury.py tests/laws/test_money_law.py "
FIRM = "tests/test_firm.py "
CLOSES = "tests/world/test_closes.py "
WATERFALL = "tests/finance/test_waterfall.py "
HAPPENED = "tests/laws/test_happened.py "
EDGES = "tests/test_firm_edges.py "
LET = "tests/test_gpu_market.py "
OVER_TIME = "tests/serving/test_over_time.py "
HAND = "tests/policies/test_by_hand.py "
TERMS = "tests/studies/test_bound_terms.py "
SAID = "tests/test_what_is_said.py "
TAX = "tests/finance/test_tax.py " + EDGES
RESTARTS = "tests/test_restarts.py "
KPI = "tests/results/test_kpi_twin.py "
FORMATS = "tests/scenario/test_cell_formats.py "
DEFECTS = (
    Defect("kpi: the margin takes nine tenths of penalties", "sim/results/kpis.py",
           "float(f[PENALTY_USD] +", "float(0.9 * f[PENALTY_USD] +", KPI),
    Defect("kpi: pue upside down", "sim/results/kpis.py",
           "ratio(uses_j(t), float(t.flow[SITE_ASIC_J] + t.flow[SITE_GPU_J]))",
           "ratio(float(t.flow[SITE_ASIC_J] + t.flow[SITE_GPU_J]), uses_j(t))", KPI),
    Defect("kpi: the price of energy upside down", "sim/results/kpis.py",
           "ratio(energy_cost_usd(t), uses_j(t) / J_PER_MWH)",
           "ratio(uses_j(t) / J_PER_MWH, energy_cost_usd(t))", KPI),
    Defect("kpi: 0.349 is printed as 0", "sim/results/kpis_text.py",
           'return f"{value:,.3f}" if', 'return f"{value:,.0f}" if', KPI),
    Defect("kpi: a tenth more of SLOs are kept in the table of serving", "sim/results/serving.py",
           "100.0 * int(got[LANE_GOOD]) / ended", "110.0 * int(got[LANE_GOOD]) / ended", KPI),
    Defect("kpi: every one times -3", "sim/results/kpis.py",
           "{name: value if math", "{name: -3.0 * value if math", KPI),
    Defect("law 2: losses forgotten at the meter", "sim/kernels/site.py",
           "meter_j = at_site_j[s] + loss_j", "meter_j = at_site_j[s]",
           LAWS + "test_law_2_meter_is_the_sum_of_its_uses"),
    Defect("law 2: booting machines counted as hashing", "sim/kernels/mining.py",
           "(on_ths * dt - booting)", "(on_ths * dt)",
           LAWS + "test_law_2_hashes_have_one_fate_each"),
    Defect("law 3: credit side rounded down", "sim/finance/ledger.py",
           "part = units[used] * sign", "part = units[used] * sign - (sign < 0)",
           LAWS + "test_law_3_every_transaction_sums_to_zero"),
    Defect("law 3: pool fee posted as an income", "sim/finance/books.py",
           'post(t_s, "expenses:pool-fees", "assets:btc", "BTC"',
           'post(t_s, "assets:btc", "expenses:pool-fees", "BTC"',
           LAWS + "test_law_3_every_transaction_sums_to_zero"),
    Defect("law 4: limits of the path forgotten but the first", "sim/kernels/power.py",
           "room_w[limit] -= give_w", "room_w[limit] -= 0.5 * give_w",
           LAWS + "test_law_4_no_limit_is_ever_broken"),
    Defect("law 4: a repaired machine runs at once", "sim/plant/presence.py",
           "self.states[kind].healthy[group] += 1.0",
           "self.states[kind].healthy[group] += 1.0; self.states[kind].running[group] += 1.0",
           LAWS + "test_law_6_advancing_in_pieces_equals_one "
           + LAWS + "test_law_4_no_limit_is_ever_broken"),
    Defect("law 5: the step is a second too long", "sim/engine/engine.py",
           "self._schedule(AFTER_EVENTS, self.step_s)",
           "self._schedule(AFTER_EVENTS, self.step_s + 1)",
           LAWS + "test_law_5_the_clock_never_goes_back"),
    Defect("law 6: boot time from the wrong end", "sim/kernels/mining.py",
           "state.starting_until_s[g] - start_s", "state.starting_until_s[g] - t_s",
           LAWS + "test_law_6_advancing_in_pieces_equals_one tests/kernels/test_mining.py"),
    Defect("law 7: luck of the process", "sim/streams.py",
           'name = f"{self.seed}', 'name = f"{id(self)}{self.seed}',
           LAWS + "test_law_7_same_cell_same_bytes"),
    Defect("law 8: the price of the next step", "sim/engine/engine.py",
           "self.look_at_course(self.step)",
           "self.look_at_course(min(self.step + 1, self.steps - 1))",
           LAWS + "test_law_8_no_peeking"),
    Defect("law 9: prices by position", "sim/kernels/dispatch.py",
           "value[i] -= price_usd_per_j[0 if i < groups * modes else 1, at[i]]",
           "value[i] -= price_usd_per_j[0 if i < groups * modes else 1, 0]",
           LAWS + "test_law_9_permuting_sites_permutes_results"),
    Defect("law 11: solo finds twice its share", "sim/finance/pools.py",
           "chain.luck[first:last] < share", "chain.luck[first:last] < 1.2 * share",
           LAWS + "test_law_11_pools_agree_in_the_mean"),
    Defect("law 12: the dearest first", "sim/kernels/power.py",
           "keys[i] = ~(bits[i] ^ top) if", "keys[i] = (bits[i] ^ top) if",
           "tests/kernels/test_power.py"),
    Defect("law 12: worth of a hash with the wrong sign", "sim/kernels/dispatch.py",
           "rank_ths[g, rank] * usd_per_th /", "rank_ths[g, rank] / usd_per_th * 1e-13 /",
           LAWS + "test_law_12_a_higher_hashprice_never_lowers_hashes"),
    Defect("retarget over 2,016 gaps", "sim/world/difficulty.py",
           "span_s = last_time_s - first_time_s", "span_s = last_time_s - first_time_s + 600",
           "tests/world/test_bitcoin.py"),
    Defect("compact form ignores the sign bit", "sim/world/difficulty.py",
           "if mantissa & 0x00800000:  # the", "if mantissa & 0x01000000:  # the",
           "tests/world/test_bitcoin.py"),
    Defect("serving: the host is forgotten where arithmetic limits", "sim/serving/engine.py",
           "self.compute_base_s + self.host_s,", "self.compute_base_s,",
           "tests/serving/test_calibration.py::test_the_host_adds_to_every_iteration"),
    Defect("roofline: an all-reduce is sent once", "sim/scenario/catalogue/serving.py",
           "sent_bytes = 2.0 * model.layers * 2.0 *", "sent_bytes = 2.0 * model.layers *",
           "tests/scenario/test_serving_catalogue.py::test_an_all_reduce_by_hand"),
    Defect("calibration: what is held out is fitted too", "sim/serving/calibration.py",
           "_Problem(log, start, replicas, order[:count], scale_s)",
           "_Problem(log, start, replicas, order, scale_s)",
           "tests/serving/test_calibration.py::test_what_is_held_out_is_not_looked_at"),
    Defect("serving: a block is taken one token late", "sim/kernels/serving.py",
           "residue = known - 1 - ((known - 1)", "residue = known - ((known - 1)",
           SERVING + "test_a_small_cache_preempts_in_cascades_and_nothing_hangs"),
    Defect("serving: a jump runs one iteration into an arrival", "sim/kernels/serving.py",
           "k = _iterations_until(step_s, slope_s, epoch_s, limit_s) - taken",
           "k = _iterations_until(step_s, slope_s, epoch_s, limit_s) - taken + 1",
           SERVING + "test_a_small_cache_preempts_in_cascades_and_nothing_hangs"),
    Defect("serving: the whole prompt is not reserved", "sim/kernels/serving.py",
           "if wanted > room:", "if blocks > room:",
           SERVING + "test_a_small_cache_preempts_in_cascades_and_nothing_hangs"),
    Defect("serving: the preempted forget what they have emitted", "sim/kernels/serving.py",
           "request[victim, GENERATED] = request[victim, OUTPUT] - left",
           "request[victim, GENERATED] = 0",
           SERVING + "test_a_small_cache_preempts_in_cascades_and_nothing_hangs"),
    Defect("serving: power above the limit", "sim/kernels/serving.py",
           "joules = limit_w * over_s", "joules = busy_w * over_s",
           SERVING + "test_a_small_cache_preempts_in_cascades_and_nothing_hangs"),
    Defect("router: the later of two equal queues", "sim/kernels/routing.py",
           "if load < least:", "if load <= least:",
           FLEET + "test_the_shorter_queue_is_the_one_a_plain_twin_finds"),
    Defect("router: a request that is sent back is forgotten", "sim/kernels/routing.py",
           "clients.counts[slot, PHASE] = HELD", "clients.counts[slot, PHASE] = NOBODY",
           FLEET + "test_no_request_is_lost_whatever_is_switched_off"),
    Defect("router: who gave up is not counted", "sim/kernels/routing.py",
           "lanes[LANE_EXPIRED, lane_of[tenant, client[slot, POOL]]] += 1", "pass",
           FLEET + "test_no_request_is_lost_whatever_is_switched_off"),
    Defect("operations: weights need no time", "sim/inference/operations.py",
           "self.powered[e], self.draining[e] = True, False",
           "self.powered[e], self.draining[e], load_s = True, False, 0.0",
           FLEET + "test_a_node_that_comes_back_loads_its_weights_first"),
    Defect("operations: a dark node draws idle power", "sim/inference/operations.py",
           "np.where(self.powered, self.idle_w * (end_s - from_s), 0.0)",
           "self.idle_w * (end_s - from_s)",
           FLEET + "test_an_idle_node_draws_its_idle_power_and_a_dark_one_nothing"),
    Defect("results: the next bin", "sim/inference/histograms.py",
           "(np.arange(BINS) + 0.5) * BIN_LOG", "(np.arange(BINS) + 1.5) * BIN_LOG",
           FLEET + "test_histograms_keep_percentiles_within_a_percent"),
    Defect("fluid: what is given back is lost", "sim/inference/fluid.py",
           "self.fluid.held[self.lane_tenant[lane]] += back", "pass",
           "tests/serving/test_fluid.py::test_nobody_is_lost_in_a_fluid"),
    Defect("energy: own supply is used twice", "sim/kernels/power.py",
           "local_w[s] -= own_w", "local_w[s] -= 0.5 * own_w", POWER),
    Defect("energy: the cap of a call is forgotten", "sim/kernels/power.py",
           "min(wish_w[i] - own_w, cap_w[s])", "wish_w[i] - own_w", POWER),
    Defect("energy: a block is paid used or not", "sim/kernels/energy.py",
           "min(max(meter_w, 0.0), terms[BLOCK_W, s])", "terms[BLOCK_W, s]", COSTS),
    Defect("energy: a position is settled with delivery", "sim/kernels/energy.py",
           "zone = terms[ZONE_PRICE, s] / J_PER_MWH", "zone = site.price[s] / J_PER_MWH", COSTS),
    Defect("energy: a battery gives more than it holds", "sim/kernels/site.py",
           "else energy_j / one_way", "else energy_j * one_way", COSTS),
    Defect("energy: each of four peaks costs all", "sim/finance/months.py",
           "np.maximum(site.terms[LAST_W], 0.0) / self.counted",
           "np.maximum(site.terms[LAST_W], 0.0) * 4.0", COSTS),
    Defect("energy: the forecast of a peak peeks", "sim/world/peaks.py",
           "float(load_mw[of_day[:k]].max())", "float(load_mw[of_day[: k + 1]].max())",
           "tests/world/test_peaks.py"),
    Defect("energy: no minimum response", "sim/plant/programmes.py",
           "got_j < spec.minimum_response * owed_j", "got_j < 0.0", CALLS),
    Defect("energy: two calls are met by one drop", "sim/kernels/energy.py",
           "programme.baseline_w[p, s] -= programme.owed_w[other, s]", "pass", CALLS),
    Defect("energy: a link that is out still carries", "sim/world/topology.py",
           "min(w * left.get(link, 1.0)", "min(w", "tests/laws/test_energy_laws.py"),
    Defect("energy: a mesh forgets the way back", "sim/plant/meshed.py",
           "items.granted_w[:] = granted_w[count:]", "pass", "tests/laws/test_energy_laws.py"),
    Defect("energy: fans by the square of the flow", "sim/kernels/thermal.py",
           "* flow * flow * flow", "* flow * flow", "tests/kernels/test_thermal.py"),
    Defect("money: the cost of a sale by free bitcoin alone", "sim/finance/treasury.py",
           "// max(self.held_satoshi(), 1)", '// max(self.ledger.units(BTC, "BTC"), 1)', MONEY),
    Defect("money: a margin call has an hour more", "sim/finance/loans.py",
           "_over(t_s, loan.called_s, spec.cure_h)",
           "_over(t_s, loan.called_s + 3600, spec.cure_h)",
           "tests/finance/test_loans.py "),
    Defect("tax: what is sold takes the average cost", "sim/finance/tax.py",
           "share = lot[3] * part / lot[2]", "share = self.usd * part / 1e9", TAX),
    Defect("tax: the cap of losses is forgotten", "sim/finance/tax.py",
           "min(losses_usd, cap * taxable_usd)", "min(losses_usd, taxable_usd)", TAX),
    Defect("tax: bitcoin that is held is taxed", "sim/finance/tax.py",
           "PROJECT_INTEREST, *BITCOIN)", "PROJECT_INTEREST, BITCOIN[0])", TAX),
    Defect("tax: an impairment is deducted", "sim/finance/tax.py",
           "return lot.cost_usd * lot.left * (1.0 - lot.worn(t_s))",
           "return lot.cost_usd * lot.left * lot.kept * (1.0 - lot.worn(t_s))", IMPAIRED),
    Defect("tax: interest on projects is deducted with the machines", "sim/finance/tax.py",
           "ACCOUNTS.values(), PROJECT_INTEREST, ", "ACCOUNTS.values(), ", BORROWED),
    Defect("impairment: cash to come is discounted", "sim/finance/impairment.py",
           "annuity(0.0,", "annuity(self.residuals.rate_per_year,", IMPAIRED),
    Defect("impairment: losses to come count", "sim/finance/impairment.py",
           "max(yearly, 0.0)", "yearly", IMPAIRED),
    Defect("impairment: down to the cash to come", "sim/finance/impairment.py",
           "self.assets.impair(t_s, kind, group, book_usd - fair_usd,",
           "self.assets.impair(t_s, kind, group, book_usd - undiscounted_usd,", IMPAIRED),
    Defect("impairment: old depreciation on the new cost", "sim/finance/assets.py",
           "return self.left * self.kept * (1.0 - self.done)",
           "return self.left * (self.kept - self.done)", IMPAIRED),
    Defect("borrowing costs: more than was incurred", "sim/finance/borrowing_costs.py",
           "min(total / owed_days, 1.0)", "total / owed_days", BORROWED),
    Defect("borrowing costs: a live project is still built", "sim/finance/borrowing_costs.py",
           "min(plan.live_s, float(t_s))", "float(t_s)", BORROWED),
    Defect("borrowing costs: interest bears none", "sim/finance/borrowing_costs.py",
           "costs = [*paid, (begin_s, before_usd)]", "costs = paid", BORROWED),
    Defect("borrowing costs: what is called off keeps its interest", "sim/finance/projects.py",
           "post(t_s, IMPAIRMENT, PROJECT_INTEREST,", "0 and post(t_s, IMPAIRMENT, IMPAIRMENT,",
           BORROWED),
    Defect("tax: the first year counts from January", "sim/finance/tax.py",
           "begin = max(begin, placed)", "begin = begin", TAX),
    Defect("projects: hashes by nameplate", "sim/finance/meters.py",
           "hashes = asic[USED_TH].sum(axis=1)", "hashes = np.ones(self.asics)",
           "tests/studies/test_incremental.py "),
    Defect("projects: machines end at the market alone", "sim/finance/residual.py",
           "max(min(market_usd, earned_usd), 0.0)", "max(market_usd, 0.0)",
           "tests/finance/test_valuation.py tests/finance/test_residual.py "),
    Defect("before: a fire of yesterday burns again", "sim/engine/incidents.py",
           'what.start_s < 0 and what.spec.kind == "fire"', "False", "tests/test_before.py "),
    Defect("before: a live project is worth its price", "sim/finance/assets.py",
           "lot.done = lot.worn(0)", "lot.done = 0.0", "tests/test_before.py "),
    Defect("before: a spike fills each step that it touches", "sim/world/incidents.py",
           "usd_per_mwh[step, sites] = mean / step_s",
           "usd_per_mwh[step, sites] = np.maximum(base, here[0].spec.usd_per_mwh or 0.0)",
           "tests/test_before.py "),
    Defect("money: rents by the run, not the calendar", "sim/finance/duties.py",
           "* month.overlap(start_s, end_s)", "* month.share", FIRM),
    Defect("money: an insurer forgets the deductible", "sim/finance/insurance.py",
           "loss - policy.deductible_usd", "loss", FIRM),
    Defect("money: sites reopen with the first incident that ends", "sim/plant/presence.py",
           "float(self.shut[site] == 0)", "float(self.shut[site] <= 1)",
           "tests/test_incidents.py "),
    Defect("money: a month's posting in the next", "sim/finance/statements.py",
           "np.maximum(t_s - 1, 0)", "np.maximum(t_s, 0)", "tests/finance/test_statements.py "),
    Defect("mesh: lines count only where every site is cut", "sim/plant/meshed.py",
           "if (cut > 1e-9).any():", "if (cut > 1e-9).all():", HAPPENED),
    Defect("mesh: loads of others never reach the grant", "sim/plant/meshed.py",
           "self.load_mw, self.generation_mw = load_mw, generation_mw", "pass", HAPPENED),
    Defect("mesh: machines without their order", "sim/plant/meshed.py",
           "if asics.any():", "if False:", HAPPENED),
    Defect("mesh: batch before reserved nodes", "sim/plant/meshed.py",
           "[CONTRACTED, SERVING, BATCH, CHARGING]", "[BATCH, SERVING, CONTRACTED, CHARGING]",
           HAPPENED),
    Defect("world: a close holds from the start of its day", "sim/world/btc_price.py",
           "(series.length_s if at_end else 0)", "0", CLOSES),
    Defect("world: the fees of a day that is not over are seen", "sim/engine/engine.py",
           "chain.known_reward_btc(now_s))", "chain.reward_btc(now_s))", CLOSES),
    Defect("world: books are closed at the price of the last step", "sim/engine/engine.py",
           "self._look_at_btc_price()  # books", "pass  # books", CLOSES),
    Defect("firm: a payment at the price of the last close", "sim/engine/projects.py",
           "engine.usd_per_btc_now, memo)", "firm.usd_per_btc, memo)", CLOSES),
    Defect("firm: a deficiency is forgotten", "sim/finance/loans.py",
           "if loan.debt and not loan.pledged:", "if loan.debt < 0:", WATERFALL),
    Defect("firm: a payment that could wait is made", "sim/finance/funding.py",
           "elif may_wait:", "elif not may_wait:", WATERFALL),
    Defect("firm: new shares at equity", "sim/finance/funding.py",
           "(1.0 - spec.discount_fraction) * before_usd", "before_usd", WATERFALL),
    Defect("firm: haste costs nothing", "sim/finance/funding.py",
           "* (1.0 - self.spec.machine_discount_fraction)", "", WATERFALL),
    Defect("firm: the revolver is free", "sim/finance/revolver.py",
           "exact = interest + fee", "exact = fee", WATERFALL),
    Defect("firm: a failed firm at book values", "sim/finance/solvency.py",
           "lost = 1.0 - distressed_fraction", "lost = 0.0", WATERFALL),
    Defect("firm: creditors bear nothing", "sim/finance/solvency.py",
           "min(left_usd, max(-ledger.balance(account, \"USD\"), 0.0))", "0.0", WATERFALL),
    Defect("firm: lenders are paid down with all collateral", "sim/finance/release.py",
           "return least(lambda x: brings(x) >= enough, most)", "return most", WATERFALL),
    Defect("firm: no tax", "sim/finance/tax.py",
           "taxed(taxable, self.losses_usd, self.rate,",
           "taxed(taxable, self.losses_usd, 0.0,", TAX),
    Defect("firm: losses are forgotten at the end of a year", "sim/finance/tax.py",
           "self.losses_usd = year.left_usd", "self.losses_usd = 0.0", TAX),
    Defect("firm: a host is paid whole months", "sim/finance/duties.py",
           "host.usd_per_machine_month * month.overlap(month.start_s, end_s)",
           "host.usd_per_machine_month", EDGES),
    Defect("firm: leases have no end", "sim/finance/duties.py",
           "calendar.t_s(lease.end_utc, NEVER)", "NEVER", EDGES),
    Defect("firm: a lease of the first instant sells nothing", "sim/finance/firm.py",
           "start_s == 0.0", "start_s < 0.0", EDGES),
    Defect("firm: lessors claim nothing", "sim/finance/duties.py",
           "if start_s <= t_s and end_s < NEVER", "if start_s > t_s", EDGES),
    Defect("firm: lessors claim leases that are to come", "sim/finance/duties.py",
           "if start_s <= t_s and end_s < NEVER", "if end_s < NEVER", EDGES),
    Defect("firm: premiums by whole months", "sim/finance/insurance.py",
           "self.scenario.insurance.values()) * month.share", "self.scenario.insurance.values())",
           EDGES),
    Defect("firm: a cent of machines that are gone stays", "sim/finance/assets.py",
           "if rest and abs(rest)", "if not rest and abs(rest)", "tests/finance/test_assets.py "),
    Defect("buildout: what is left at the end is not told apart", "sim/studies/buildout.py",
           "at_end = parts.terminal_usd + parts.other_end_usd", "at_end = parts.other_end_usd",
           "tests/studies/test_buildout.py "),
    Defect("restarts: the repaired restart, too", "sim/engine/restarts.py",
           "on & ~at.on & at.well", "on & ~at.on", RESTARTS),
    Defect("restarts: a machine has the same luck for ever", "sim/engine/restarts.py",
           "at.restarts[started] += 1", "pass", RESTARTS),
    Defect("restarts: luck of the hour", "sim/world/outages.py",
           '"restart", self.of.name, restart)', '"restart", self.of.name, id(self))', RESTARTS),
    Defect("restarts: energy is missed as well", "sim/engine/restarts.py",
           "(mined - spent)", "mined", RESTARTS),
    Defect("policy: gpu-first runs nodes at any price", "sim/policies/one_first.py",
           "np.where(earned > cost, self._rank(cost), 0.0)", "self._rank(cost)", HAND),
    Defect("policy: mining-first ranks nodes first", "sim/policies/one_first.py",
           "return cost_usd_per_s + 1e-12", "return 1e6 + 1e-12", HAND),
    Defect("policy: a battery's band knows no losses", "sim/kernels/dispatch.py",
           "/ battery[b, 2] ** 2 +", "+", HAND),
    Defect("policy: the quantile of the dear hours", "sim/policies/merit_order.py",
           "1.0 - self.cheap]", "0.5]", HAND),
    Defect("policy: the threshold is exclusive", "sim/policies/price_threshold.py",
           "<= self.max_usd_per_mwh", "< self.max_usd_per_mwh", HAND),
    Defect("policy: slo-guard forgets its headroom", "sim/policies/slo_guard.py",
           "limits.room_w * (1.0 - self.headroom)", "limits.room_w", HAND),
    Defect("policy: slo-guard breaks promises", "sim/policies/slo_guard.py",
           "gpu_share[promised] = 1.0", "pass", "tests/test_policies.py " + HAND),
    Defect("policy: a call is not obeyed", "sim/policies/dispatch.py",
           "np.minimum(limits.cap_w, observation.energy.called_w[0])", "limits.cap_w", HAND),
    Defect("policy: reserves pay nothing", "sim/policies/dispatch.py",
           "price[0] -= energy", "price[0] -= 0.0 * energy", HAND),
    Defect("design: Sobol' and Latin hypercube exchanged", "sim/studies/design.py",
           'if design.method == "sobol":', 'if design.method != "sobol":',
           "tests/studies/test_design.py "),
    Defect("results: a limit binds a step early", "sim/engine/engine.py",
           "self.recorder.bound(self.observation.t_s // self.step_s",
           "self.recorder.bound(max(self.observation.t_s // self.step_s - 1, 0)", SAID),
    Defect("results: what burns is down for ever", "sim/engine/incidents.py",
           "engine.recorder.gone(engine.now_s, kind)", "pass", SAID),
    Defect("results: what burnt still counts as there", "sim/engine/incidents.py",
           "engine.recorder.stand(engine.now_s, kind, change.now - change.before)", "pass", SAID),
    Defect("results: the other sites are dark", "sim/plant/plant.py",
           "zip(self.site_names, dark, strict=True) if out]",
           "zip(self.site_names, dark, strict=True) if not out]", SAID),
    Defect("results: a delay is told without its sign", "sim/engine/projects.py",
           "{late_days:+.1f}", "{abs(late_days):.1f}", SAID + "tests/test_firm.py"),
    Defect("projects: machines stand there from the start", "sim/plant/machines.py",
           "0.0 if awaited(g) else float(g.count)", "float(g.count)", EDGES),
    Defect("router: backoff grows by steps, not by doubling", "sim/kernels/routing.py",
           "terms[tenant, BACKOFF_S] * 2.0 ** client[slot, TRIES]",
           "terms[tenant, BACKOFF_S] * (1.0 + client[slot, TRIES])",
           FLEET + "test_a_client_waits_twice_as_long_each_time_it_comes_back"),
    Defect("fluid: nodes serve while they load", "sim/inference/fluid.py",
           "end_s - max(traffic.loads_s[e], self.now_s)", "end_s - self.now_s",
           "tests/serving/test_fluid.py::test_a_node_that_loads_its_weights_idles_until_it_serves"),
    Defect("bound: reserves are not seen", "sim/studies/bound_terms.py",
           "reserve_usd_per_mwh=replay.reserve,", "reserve_usd_per_mwh=0.0 * replay.reserve,",
           TERMS),
    Defect("bound: blocks save nothing", "sim/studies/bound_terms.py",
           "block_saves_usd_per_mwh=np.maximum(price - block_price, 0.0),",
           "block_saves_usd_per_mwh=np.maximum(price - block_price, 0.0) * 0.0,", TERMS),
    Defect("bound: positions of contracts are forgotten", "sim/studies/bound_terms.py",
           "- contract_usd(known).sum(axis=1)", "", TERMS),
    Defect("bound: prices of nodes stay those of the start", "sim/studies/bound_world.py",
           "self.lettings.look(self.now_s, lambda n: bool(there[n] > 0.0)) or self.rates",
           "self.rates", TERMS),
    Defect("nodes: what is not let earns all the same", "sim/plant/machines.py",
           "earned_usd = price_usd * np.maximum(share, let.least)",
           "earned_usd = price_usd * np.maximum(1.0, let.least)", LET),
    Defect("nodes: what is not let draws its mean load", "sim/plant/machines.py",
           "mean_w = idle_w + load * share * (most_w - idle_w)",
           "mean_w = idle_w + load * (most_w - idle_w)", LET),
    Defect("nodes: take-or-pay is what is taken", "sim/plant/machines.py",
           "np.maximum(share, let.least)", "share", LET),
    Defect("nodes: the occupancy factor goes beyond all hours", "sim/plant/machines.py",
           "share = np.minimum(let.share * what_if.gpu_occupancy_factor, 1.0)",
           "share = let.share", LET),
    Defect("nodes: a month costs an hour's share of a year", "sim/plant/lettings.py",
           "return (end_s - start_s) / SECONDS_PER_HOUR", "return 730.5", LET),
    Defect("contracts: no gap between tenants", "sim/plant/lettings.py",
           "gap_s = self.terms.gap_days * self.gaps(number) * SECONDS_PER_DAY", "gap_s = 0.0",
           LET),
    Defect("contracts: the first price for ever", "sim/plant/lettings.py",
           "if number == 0 and self.terms.usd_per_gpu_h is not None:",
           "if self.terms.usd_per_gpu_h is not None:", LET),
    Defect("contracts: the escalator rises once", "sim/plant/lettings.py",
           "(1.0 + self.terms.escalator_per_year) ** years)",
           "(1.0 + self.terms.escalator_per_year))", LET),
    Defect("contracts: all gaps have one luck", "sim/plant/lettings.py",
           'streams.generator("gpu-gap", name, number)', 'streams.generator("gpu-gap", name, 0)',
           LET),
    Defect("market: a path is a day late", "sim/world/gpu_market.py",
           "return path.at(np.arange(days, dtype=np.int64) * SECONDS_PER_DAY)",
           "return path.at(np.maximum(np.arange(days, dtype=np.int64) - 1, 0) * SECONDS_PER_DAY)",
           LET),
    Defect("market: reversion has another spread", "sim/world/gpu_market.py",
           "np.sqrt((1.0 - kept**2) / (2.0 * spec.reversion_per_year))",
           "np.sqrt((1.0 - kept**2) / spec.reversion_per_year)", LET),
    Defect("market: all GPUs share their luck", "sim/world/gpu_market.py",
           'daily_normals("gpu-price", gpu, days, streams)',
           'daily_normals("gpu-price", "", days, streams)', LET),
    Defect("nodes: cost of operation is not in the margin", "sim/results/kpis.py",
           " + f[GPU_OPEX_USD])", ")", LET),
    Defect("nodes: cost of operation is by the hour on", "sim/kernels/site.py",
           "opex_usd = let_s * nodes.opex_usd_per_h[0, n] / 3600.0",
           "opex_usd = on_s * nodes.opex_usd_per_h[0, n] / 3600.0", LET),
    Defect("tokens: credits at the price of the day after", "sim/inference/operations.py",
           "usd, self.day_usd = self.day_usd, np.zeros(len(self.lanes))",
           "usd, self.day_usd = self.day_usd * self.index, np.zeros(len(self.lanes))", OVER_TIME),
    Defect("tenants: nobody grows", "sim/world/demand.py",
           "grown = (1.0 + tenant.growth_per_year) ** (day_s / SECONDS_PER_YEAR)", "grown = 1.0",
           OVER_TIME),
    Defect("tenants: who leaves goes on asking", "sim/world/demand.py",
           "return float(tenant.rate_rps * there * grown)",
           "return float(tenant.rate_rps * grown)", OVER_TIME),
    Defect("bound: nodes that are off cost nothing", "sim/studies/bound_terms.py",
           "(replay.credit_usd + replay.there_usd)", "replay.there_usd", TERMS),
    Defect("bound: what is fixed is free", "sim/studies/bound_terms.py",
           "- (import_usd * known.fixed_mw * hours).sum(axis=1)", "", TERMS),
    Defect("bound: no demand charge", "sim/studies/bound_terms.py",
           "usd_per_mw = float(bills.demand_usd_per_w[s]) * W_PER_MW", "usd_per_mw = 0.0", TERMS),
    Defect("bound: nothing is exported", "sim/studies/bound_terms.py",
           "export_mw=plant.sites.export_w / W_PER_MW +", "export_mw=0.0 *", TERMS),
    Defect("bound: a tenth of the machines is not seen", "sim/studies/bound_world.py",
           "flow[DEPLOYED] - flow[LOST_FAILURE]", "0.9 * flow[DEPLOYED] - flow[LOST_FAILURE]",
           "tests/laws/test_bound_law.py tests/studies/test_bound.py "),
    Defect("sheets: kW shown by a cell's format are read as MW", "sim/scenario/cell_formats.py",
           "if shown.words and (unit is None", "if shown.words and (False", FORMATS),
    Defect("sheets: a row that is struck out counts", "sim/scenario/spreadsheet.py",
           "return bool(cell.has_style and cell.font.strike)", "return False", FORMATS),
    Defect("series: euros shown by a cell's format are dollars", "sim/scenario/series/files.py",
           "units={**sheet.units, **more}", "units=sheet.units", FORMATS),
    Defect("series: -9999 is a price like another", "sim/scenario/slips.py",
           "if marks.size:", "if marks.size > 99:", "tests/scenario/test_slips.py "),
    Defect("series: a currency above the header is passed over", "sim/scenario/series/recorded.py",
           'said = f"{said} {self.above}"', 'said = f"{said}"',
           "tests/scenario/test_series_strange.py "),
)  # fmt: skip


def main() -> None:
    words = sys.argv[1:]
    missed: list[str] = []
    planted = 0
    for defect in DEFECTS:
        if words and not any(word in defect.name for word in words):
            continue
        planted += 1
        shutil.rmtree(COPY, ignore_errors=True)
        shutil.copytree(ROOT, COPY, ignore=SKIPPED)
        file = COPY / defect.file
        text = file.read_text(encoding="utf-8")
        if text.count(defect.old) != 1:
            print(
                f"cannot plant: {defect.name}: the line stands there {text.count(defect.old)} times"
            )
            missed.append(defect.name)
            continue
        file.write_text(text.replace(defect.old, defect.new), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(COPY), "MPLBACKEND": "Agg"}
        if not defect.file.startswith("sim/kernels/"):  # then they are compiled once for all
            environment["NUMBA_CACHE_DIR"] = str(FOLDER / f"kernels-{source_digest()}")
        pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*pytest, "--hypothesis-profile=unshrunk", *defect.tests.split()], cwd=COPY,
            env=environment, capture_output=True, encoding="utf-8", check=False,
        )  # fmt: skip
        found = done.returncode == 1
        print(f"{'found ' if found else 'MISSED'}  {defect.name}", flush=True)
        if not found:
            missed.append(defect.name)
            print(done.stdout[-800:])
    print(f"{planted - len(missed)} of {planted} found")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
