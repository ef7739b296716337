"""Constants and the only unit conversions.

Files use MW, USD/MWh, TH/s and J/TH; arrays use s, W, J, TH/s, USD, BTC and satoshi.
"""

from typing import Final

SECONDS_PER_MINUTE: Final = 60
SECONDS_PER_HOUR: Final = 3_600
SECONDS_PER_DAY: Final = 86_400
DAYS_PER_YEAR: Final = 365.25
SECONDS_PER_YEAR: Final = 31_557_600  # Julian year, IAU
HOURS_PER_YEAR: Final = 8_766.0

W_PER_MW: Final = 1e6
J_PER_MWH: Final = 3.6e9
KWH_PER_MWH: Final = 1e3
KG_PER_TONNE: Final = 1e3

HASHES_PER_TH: Final = 1e12
TH_PER_PH: Final = 1e3
TH_PER_EH: Final = 1e6

SATOSHI_PER_BTC: Final = 100_000_000
CENTS_PER_USD: Final = 100
