"""Built-in policies. A policy is a class with `decide`, named here or as "package.module:Class"."""

from typing import Final

BUILTIN: Final = {
    "static": "sim.policies.static:Static",
    "price-threshold": "sim.policies.price_threshold:PriceThreshold",
    "merit-order": "sim.policies.merit_order:MeritOrder",
    "look-ahead": "sim.policies.look_ahead:LookAhead",
    "autoscale": "sim.policies.autoscale:AutoScale",
    "slo-guard": "sim.policies.slo_guard:SloGuard",
    "mining-first": "sim.policies.one_first:MiningFirst",
    "gpu-first": "sim.policies.one_first:GpuFirst",
    "random": "sim.policies.random:Random",
}
