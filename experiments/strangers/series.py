"""Recorded series as markets, spreadsheets and people write them."""

import gzip
import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from openpyxl import Workbook

from experiments.strangers.trial import Kind, Trial
from sim.scenario.model import SeriesSpec
from sim.scenario.series import read_series

HOUR: Final = 3600
QUARTER: Final = 900
CHICAGO: Final = ZoneInfo("America/Chicago")
ROWS: Final = 30

Draw = np.random.Generator


def some_prices(draw: Draw, count: int = ROWS) -> list[float]:
    return [round(float(x), 2) for x in draw.normal(40.0, 30.0, count)]


def some_day(draw: Draw) -> datetime:
    """A midnight in UTC, far from changes of the clock."""
    return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(days=int(draw.integers(0, 40)))


def series_file(
    rows: Sequence[str] | bytes,
    right: object,
    column: str = "p",
    header: str = "time_utc,p",
    name: str = "p.csv",
    **keys: Any,
) -> Trial:
    """A file of a header and rows; what comes out is start [Unix s], length [s] and value."""
    content = rows if isinstance(rows, bytes) else "\n".join([header, *rows]) + "\n"

    def read(folder: Path) -> object:
        series = read_series(folder / name, SeriesSpec.model_validate({"file": name, **keys}))
        starts, lengths = series.start_s.tolist(), series.length_s.tolist()
        return list(zip(starts, lengths, series.column(column).tolist(), strict=True))

    says = tuple(right) if isinstance(right, set) else ()
    return Trial({name: content}, read, None if says else right, says)


def steps(start: datetime, values: Sequence[float], step_s: int = HOUR) -> list[Any]:
    first = int(start.timestamp())
    return [(first + i * step_s, step_s, v) for i, v in enumerate(values)]


def each(
    start: datetime, values: Sequence[float], step_s: int = HOUR
) -> list[tuple[datetime, float]]:
    return [(start + timedelta(seconds=i * step_s), v) for i, v in enumerate(values)]


def plain(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    form = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00", "%Y-%m-%dT%H:%M+00:00")[number % 3]
    return series_file([f"{t:{form}},{v}" for t, v in each(start, values)], steps(start, values))


def offsets(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    zone = ZoneInfo(("Europe/Berlin", "Asia/Kolkata", "America/Chicago")[number % 3])
    rows = [f"{t.astimezone(zone).isoformat()},{v}" for t, v in each(start, values)]
    return series_file(rows, steps(start, values))


def local(draw: Draw, number: int) -> Trial:
    """Through a change of the clock: the repeated hour stands twice, the skipped one not at all."""
    day = (datetime(2025, 11, 2, 5, tzinfo=UTC), datetime(2026, 3, 8, 6, tzinfo=UTC))[number % 2]
    values = some_prices(draw)
    rows = [f"{t.astimezone(CHICAGO):%Y-%m-%d %H:%M},{v}" for t, v in each(day, values)]
    return series_file(rows, steps(day, values), time_column="time_utc", timezone="America/Chicago")


def ends(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    step_s = (HOUR, QUARTER, 300)[number % 3]
    late = timedelta(seconds=step_s)
    rows = [f"{t + late:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values, step_s)]
    return series_file(rows, steps(start, values, step_s), stamps="end")


def clock(t: datetime) -> datetime:
    return t.astimezone(CHICAGO)


def hour_ending(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw) + timedelta(hours=6), some_prices(draw)
    write = ("{}", "{:02d}:00", "HE{:02d}")[number % 3]
    rows = [
        f"{clock(t):%m/%d/%Y},{write.format(clock(t).hour + 1)},{v}" for t, v in each(start, values)
    ]
    return series_file(
        rows, steps(start, values), header="d,h,p", time_column="d", time_format="%m/%d/%Y",
        hour_ending_column="h", timezone="America/Chicago",
    )  # fmt: skip


def hour_25(draw: Draw, number: int) -> Trial:
    """The long day counted on to 25, or the repeated hour flagged."""
    start, values = datetime(2025, 11, 2, 5, tzinfo=UTC), some_prices(draw, 25)
    flagged = number % 2
    rows = []
    for i, (t, v) in enumerate(each(start, values)):
        hour = clock(t).hour + 1 if flagged else i + 1
        rows.append(f"11/02/2025,{hour},{'Y' if i == 2 else 'N'},{v}")
    keys = {"repeat_column": "r"} if flagged else {}
    return series_file(
        rows, steps(start, values), header="d,h,r,p", time_column="d", time_format="%m/%d/%Y",
        hour_ending_column="h", timezone="America/Chicago", **keys,
    )  # fmt: skip


def skipped_hour(draw: Draw, number: int) -> Trial:
    """24 rows on the day of 23 hours: that of the hour that does not exist is left out."""
    zone, day = (("Europe/Berlin", "2026-03-29"), ("America/Chicago", "2026-03-08"))[number % 2]
    values = some_prices(draw, 24)
    rows = [f"{day} {h:02d}:00,{'' if h == 2 else v}" for h, v in enumerate(values)]
    start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    right = steps(start, values[:2] + values[3:])
    return series_file(rows, right, time_column="time_utc", timezone=zone)


def resolutions(draw: Draw, number: int) -> Trial:
    """Hours first, quarters later: every row lasts as long as it does."""
    start, values = some_day(draw), some_prices(draw, 24 + 96)
    later = start + timedelta(days=1)
    right = steps(start, values[:24]) + steps(later, values[24:], QUARTER)
    rows = [f"{datetime.fromtimestamp(t, UTC):%Y-%m-%dT%H:%M:%SZ},{v}" for t, _, v in right]
    return series_file(rows, right)


def ranges(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    between = (" - ", "/")[number % 2]
    form = ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%MZ")[number % 2]
    rows = [
        f"{t:{form}}{between}{t + timedelta(hours=1):{form}},{v}" for t, v in each(start, values)
    ]
    return series_file(rows, steps(start, values), timezone="UTC")


def descending(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values)]
    return series_file(rows[::-1], steps(start, values))


def one_of_several(draw: Draw, number: int) -> Trial:
    """A file of several places: the one that is named, or a word about that."""
    start, values = some_day(draw), some_prices(draw)
    rows = [
        f"{t:%Y-%m-%dT%H:%M:%SZ},{place},{v + more}"
        for t, v in each(start, values)
        for place, more in (("A", 1000), ("B", 0))
    ]
    header = "time_utc,place,p"
    if number % 2:
        return series_file(rows, {"row 3", "where ="}, header=header)
    return series_file(rows, steps(start, values), header=header, where={"place": "B"})


def scaled(draw: Draw, number: int) -> Trial:
    """USD/kWh, cents/kWh; and a word where a title says so and no key does."""
    start, values = some_day(draw), some_prices(draw)
    title, factor = (("USD/kWh", 1000.0), ("cents per kWh", 10.0))[number % 2]
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v / factor:.6f}" for t, v in each(start, values)]
    header = f"time_utc,{title}"
    if number % 3 == 2:
        return series_file(rows, {"per kWh", "scale = 1000"}, title, header)
    return series_file(rows, steps(start, values), title, header, scale=factor)


def currency(draw: Draw, number: int) -> Trial:
    """Euros are asked for their rate, not taken for dollars."""
    start, values = some_day(draw), some_prices(draw)
    title = ("price_eur_mwh", "Price [EUR/MWh]", "p (€/MWh)")[number % 3]
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values)]
    header = f"time_utc,{title}"
    if number % 2:
        return series_file(rows, {'currency = "EUR"', "usd_per_currency"}, title, header)
    right = steps(start, [v * 1.25 for v in values])
    return series_file(rows, right, title, header, currency="EUR", usd_per_currency=1.25)


def epochs(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    form = ("{:.0f}", "{:.1f}", "{:.0f}000", "{:.0f}000000", "{:.0f}000000000")[number % 5]
    rows = [f"{form.format(t.timestamp())},{v}" for t, v in each(start, values)]
    return series_file(rows, steps(start, values))


def serials(draw: Draw, number: int) -> Trial:
    """Days since 1900 as spreadsheets keep dates; without a zone nobody knows which."""
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t.timestamp() / 86400 + 25569!r},{v}" for t, v in each(start, values)]
    if number % 3 == 2:
        return series_file(rows, {"a workbook's date", "say timezone"})
    return series_file(rows, steps(start, values), timezone="UTC")


def no_time(draw: Draw, number: int) -> Trial:
    cell, words = (
        ("2026", {"row 2", "epoch"}), ("20260105", {"row 2", "time_format"}),
        ("2026-13-05T00:00:00Z", {"row 2", "is not a time"}), ("soon", {"'soon'", "row 2"}),
        ("1026-01-05T00:00:00Z", {"row 2"}), ("2026-01-05 01:00", {"row 2", "say timezone"}),
    )[number % 6]  # fmt: skip
    return series_file([f"{cell},{some_prices(draw, 1)[0]}"], words, header="t,p", time_column="t")


def preamble(draw: Draw, number: int) -> Trial:
    """Titles and notes above, units below the header."""
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values)]
    above = ["Report of the day", "", "made by operations"][: 1 + number % 3]
    text = "\n".join([*above, "time_utc,p", *(["UTC,USD/MWh"] if number % 2 else []), *rows])
    return series_file(text.encode(), steps(start, values))


def delimiters(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    mark, comma = ((";", True), ("\t", True), ("|", False), (";", False))[number % 4]
    rows = [
        f"{t:%Y-%m-%dT%H:%M:%SZ}{mark}{f'{v:.2f}'.replace('.', ',') if comma else v}"
        for t, v in each(start, values)
    ]
    return series_file(rows, steps(start, values), header=f"time_utc{mark}p")


def encodings(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v},Zürich" for t, v in each(start, values)]
    coding = ("utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32")[number % 5]
    end = ("\n", "\r\n", "\r")[number % 3]
    return series_file(end.join(["time_utc,p,place", *rows]).encode(coding), steps(start, values))


def packed(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values)]
    text = "\n".join(["time_utc,p", *rows]).encode()
    if number % 3 == 0:
        return series_file(gzip.compress(text, mtime=0), steps(start, values), name="p.csv.gz")
    if number % 3 == 1:
        return series_file(gzip.compress(text, mtime=0)[:50], {"cannot be read"}, name="p.csv.gz")
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("p.csv", text)
    return series_file(data.getvalue(), steps(start, values), name="p.zip")


def one_column(draw: Draw, number: int) -> Trial:
    """A table that a spreadsheet has taken for one column."""
    start, values = some_day(draw), some_prices(draw)
    mark = (",", ";")[number % 2]
    rows = ["time_utc", *(f"{t:%Y-%m-%dT%H:%M:%SZ}" for t, _ in each(start, values))]
    cells = ["p", *map(str, values)]
    lines = [f'"""{a}""{mark}""{b}"""' for a, b in zip(rows, cells, strict=True)]
    return series_file("\n".join(lines).encode(), steps(start, values))


def workbook(draw: Draw, number: int) -> Trial:
    """Dates as a workbook keeps them."""
    start, values = some_day(draw), some_prices(draw)
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append(["time_utc", "p"])
    for t, v in each(start, values):
        sheet.append([t.replace(tzinfo=None), v])
    for _ in range(number % 3):
        sheet.append([None, None])
    data = io.BytesIO()
    book.save(data)
    return series_file(data.getvalue(), steps(start, values), name="p.xlsx", timezone="UTC")


def shown_in(draw: Draw, number: int) -> Trial:
    """Prices whose cells show a currency, or less than is stored."""
    start, values = some_day(draw), some_prices(draw)
    form, says = (
        ("$0.00", set[str]()), ("0.00 [$€-407]", {"another currency, EUR"}),
        ('0.00" £/MWh"', {"another currency, GBP"}), ("0.00,", {"cell B2", "divided by 1,000"}),
        ('0.00 "ct/kWh"', {"per kWh"}), ("General;General;General", set()),
    )[number % 6]  # fmt: skip
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.append(["time_utc", "p"])
    for i, (t, v) in enumerate(each(start, values)):
        sheet.append([t.replace(tzinfo=None), v])
        sheet.cell(i + 2, 2).number_format = form
    data = io.BytesIO()
    book.save(data)
    right = says or steps(start, values)
    return series_file(data.getvalue(), right, name="p.xlsx", timezone="UTC")


def said_beside(draw: Draw, number: int) -> Trial:
    """A unit above the header, or in a column of its own."""
    start, values = some_day(draw), some_prices(draw)
    unit, says = (
        ("USD/MWh", ""), ("EUR/MWh", "another currency, EUR"), ("US$/kWh", "per kWh"),
    )[number % 3]  # fmt: skip
    above = number // 3 % 2 == 0
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}{'' if above else f',{unit}'}"
            for t, v in each(start, values)]  # fmt: skip
    header = f"Hub, {unit}\n\ntime_utc,p" if above else "time_utc,p,unit"
    return series_file(rows, {says} if says else steps(start, values), header=header)


def no_numbers(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    row = int(draw.integers(0, ROWS))
    cell = ("inf", "n.a.", "1,234", "12 USD", "#REF!", "-1e999")[number % 6]
    rows = [
        f'{t:%Y-%m-%dT%H:%M:%SZ},"{cell if i == row else v}"'
        for i, (t, v) in enumerate(each(start, values))
    ]
    return series_file(rows, {f"row {row + 2}", "column 'p'"})


def truths(draw: Draw, number: int) -> Trial:
    start = some_day(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},true" for t, _ in each(start, [0.0] * 5)]
    return series_file(rows, {"true and false", "row 2"})


def two_readings(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), draw.integers(1001, 9999, ROWS).tolist()
    cell = ("{}.{:03d}", "{},{:03d}")[number % 2]
    rows = [
        f"{t:%Y-%m-%dT%H:%M:%SZ};{cell.format(v // 1000, v % 1000)}" for t, v in each(start, values)
    ]
    return series_file(rows, {"row 2", "can be read as"}, header="time_utc;p")


def twice(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    rows = [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values)]
    row = int(draw.integers(1, ROWS))
    return series_file(
        [*rows[:row], rows[row - 1], *rows[row:]], {f"row {row + 2}", "each time once"}
    )


def means(draw: Draw, number: int) -> Trial:
    """Prices finer than a step count by their mean over it."""
    start, values = some_day(draw), some_prices(draw, 36)
    fine_s, step_s = ((300, 900), (900, 3600), (300, 3600))[number % 3]
    trial = series_file(
        [f"{t:%Y-%m-%dT%H:%M:%SZ},{v}" for t, v in each(start, values, fine_s)], None
    )
    many = step_s // fine_s
    right = np.array(values).reshape(-1, many).mean(axis=1).tolist()
    instants = int(start.timestamp()) + step_s * np.arange(len(right), dtype=np.int64)

    def read(folder: Path) -> object:
        series = read_series(folder / "p.csv", SeriesSpec(file="p.csv"))
        return series.mean("p", instants, step_s).tolist()

    return trial._replace(read=read, right=right)


def gaps(draw: Draw, number: int) -> Trial:
    """Every third hour missing is many gaps, not a longer step."""
    start, values = some_day(draw), some_prices(draw)
    kept = [i for i in range(ROWS) if i % 3 != 1]
    rows = [f"{start + timedelta(hours=i):%Y-%m-%dT%H:%M:%SZ},{values[i]}" for i in kept]
    first = int(start.timestamp())
    right = [(first + i * HOUR, first + (i + 1) * HOUR) for i in range(ROWS) if i % 3 == 1]

    def read(folder: Path) -> object:
        series = read_series(folder / "p.csv", SeriesSpec(file="p.csv"))
        return [(a, b) for _, a, b in series.gaps(0, 2**40)]

    return series_file(rows, None)._replace(read=read, right=right)


KINDS: Final[dict[str, Kind]] = {
    "series: ISO 8601 in UTC": plain,
    "series: other offsets": offsets,
    "series: a local clock that changes": local,
    "series: stamps at the end": ends,
    "series: hour ending": hour_ending,
    "series: hour 25, repeated hours": hour_25,
    "series: a row of the hour that does not exist": skipped_hour,
    "series: hours, then quarters": resolutions,
    "series: ranges for times": ranges,
    "series: newest first": descending,
    "series: several places": one_of_several,
    "series: per kWh": scaled,
    "series: euros": currency,
    "series: epochs in s, ms, µs, ns, floats": epochs,
    "series: serial days": serials,
    "series: what is no time": no_time,
    "series: preamble, row of units": preamble,
    "series: delimiters, decimal commas": delimiters,
    "series: encodings, line ends": encodings,
    "series: compressed, damaged": packed,
    "series: all in one column": one_column,
    "series: workbooks": workbook,
    "series: workbooks, what formats show": shown_in,
    "series: units above and beside": said_beside,
    "series: what is no number": no_numbers,
    "series: true and false": truths,
    "series: numbers with two readings": two_readings,
    "series: a time twice": twice,
    "series: finer than a step": means,
    "series: every third hour missing": gaps,
}
