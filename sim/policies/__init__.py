"""What we decide. A policy is one class with `decide`, named here or as "package.module:Class"."""

from typing import Final

BUILTIN: Final = {
    "static": "sim.policies.static:Static",
    "price-threshold": "sim.policies.price_threshold:PriceThreshold",
    "merit-order": "sim.policies.merit_order:MeritOrder",
}
