"""Fit Merton's jump diffusion to daily returns of bitcoin, by maximum likelihood.

    python experiments/calibrate_btc_price.py --data ../shared/data

Merton 1976, J. Financial Economics 3: between normal jumps that arrive as a Poisson process the
logarithm diffuses. The density of a day's return is a Poisson mixture of normals. Prints the fit,
beside it a diffusion alone, and how often each gives days as large as were seen.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pyarrow.csv
from scipy.optimize import minimize
from scipy.stats import norm, poisson

FIRST = "2021-01-01"
DAYS = 365.25
JUMPS = np.arange(6)  # in a day: more have no weight


def weights_and_normals(
    parameters: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weight, mean and deviation of a day's return, by number of jumps."""
    drift, volatility, rate, size, spread = parameters
    weight = poisson.pmf(JUMPS, rate / DAYS)
    mean = drift / DAYS + JUMPS * size
    return weight, mean, np.sqrt(volatility**2 / DAYS + JUMPS * spread**2)


def likelihood(parameters: np.ndarray, returns: np.ndarray) -> float:
    """Logarithm of the likelihood of daily log returns."""
    weight, mean, deviation = weights_and_normals(parameters)
    density = (weight * norm.pdf(returns[:, None], mean, deviation)).sum(axis=1)
    return float(np.log(np.maximum(density, 1e-300)).sum())


def tail(parameters: np.ndarray, beyond: float) -> float:
    """Days a year with a return beyond this, up or down."""
    weight, mean, deviation = weights_and_normals(parameters)
    both = norm.sf(beyond, mean, deviation) + norm.cdf(-beyond, mean, deviation)
    return float((weight * both).sum() * DAYS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("HASHWATT_DATA"))
    folder = parser.parse_args().data or Path("../shared/data")
    table = pyarrow.csv.read_csv(folder / "bitcoin_network/btc_network_daily.csv.gz")
    dates = np.array(table["date"].to_numpy(), dtype="datetime64[D]")
    price = np.asarray(table["price_usd"].to_numpy(), dtype=np.float64)
    use = (dates >= np.datetime64(FIRST)) & np.isfinite(price) & (price > 0)
    returns = np.diff(np.log(price[use]))
    plain = np.array([returns.mean() * DAYS, returns.std() * np.sqrt(DAYS), 0.0, 0.0, 0.1])
    found = min(
        (
            minimize(
                lambda p: -likelihood(p, returns),
                [0.2, 0.4, rate, -0.01, 0.05],
                method="L-BFGS-B",
                bounds=[(-3, 3), (0.05, 2), (0.1, 365), (-0.3, 0.3), (0.005, 0.5)],
            )
            for rate in (10.0, 40.0, 120.0)
        ),
        key=lambda fit: float(fit.fun),
    )
    print(f"{len(returns)} days from {FIRST} to {dates[use][-1]}")
    names = ("drift 1/y", "volatility 1/sqrt(y)", "jumps 1/y", "jump mean", "jump deviation")
    for name, value, simple in zip(names, found.x, plain, strict=True):
        print(f"  {name:22s}{value:10.4f}   diffusion alone {simple:10.4f}")
    gain = 2.0 * (-found.fun - likelihood(plain, returns))
    print(f"  twice the gain in log-likelihood: {gain:.1f} (three parameters more)")
    print("days a year beyond    seen   jump diffusion   diffusion")
    for beyond in (0.05, 0.08, 0.1, 0.15):
        seen = float((np.abs(returns) > beyond).mean() * DAYS)
        print(f"{beyond:18.0%}{seen:8.2f}{tail(found.x, beyond):17.2f}{tail(plain, beyond):12.2f}")


if __name__ == "__main__":
    main()
