"""Request logs as files."""

from pathlib import Path

from sim.serving.request_log import RequestLog

HEADER = "queued_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n"


def write(log: RequestLog, file: Path) -> Path:
    columns = (*log[:5],)
    order = (0, 1, 2, 3, 4)
    rows = zip(*(columns[i] for i in order), strict=True)
    file.write_text(HEADER + "".join(",".join(repr(v.item()) for v in r) + "\n" for r in rows))
    return file
