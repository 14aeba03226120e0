"""Makes a store with the first writer that there was, before there was an agent: one file of plain JSON lines,
followed from its second line on.

Run by `make` with the code of that commit before today's on the path; it does nothing with today's.
"""

import json
import sys
from hashlib import blake2b
from pathlib import Path

from agent.model import ErrorEvent, EventBatch, Gap, GroupUpdate, StoredBatch, TailedFile, Transaction

from agent.store.opening import open_store

root = Path(sys.argv[1])
log = root / "logs" / "app.log"
data = log.read_bytes()
status = log.stat()


def hashed(part):
    return blake2b(part, digest_size=8).digest()


start = data.index(b"\n") + 1
batch, errors, offset = EventBatch(), {}, start
for line in data[start:].splitlines(keepends=True):
    text = line.decode().rstrip("\n")
    if not text:
        batch.blank_bytes += len(line)
    elif len(line) > 2_048:
        batch.gaps.append(Gap(offset, offset + len(line), "over_long", line[:1_024]))
    else:
        try:
            record = json.loads(text)
        except ValueError:
            batch.parse_errors[len(batch)] = "not JSON"
            batch.raws[len(batch)] = line[:-1]
            record, text = {}, json.dumps({"message": text})
        if record.get("level") == "error":
            errors[len(batch)] = record["message"]
        batch.timestamps.append(1_795_334_400_000_000_000 + offset)
        batch.severities.append(17 if len(batch.loggers) in errors else 9)
        batch.loggers.append(None)
        batch.offsets.append(offset)
        batch.records.append(text)
    offset += len(line)
batch.end = offset
file = TailedFile(
    1, "shop", str(log), status.st_dev, status.st_ino, 0, start, min(len(data), 1_024), hashed(data[:1_024]), 0, b"",
    str(log), first_seen=1_795_334_400_000_000_000, last_read=1_795_334_400_000_000_000,
)  # fmt: skip
groups, numbers = [], {}
for number, (row, message) in enumerate(errors.items(), 1):
    at = batch.timestamps[row]
    batch.errors.append(ErrorEvent(row, at, 17, message))
    numbers[row] = number
    groups.append(
        GroupUpdate(
            number,
            f"print{number}",
            1,
            message,
            None,
            None,
            "unknown",
            "shop",
            17,
            at,
            at,
            1,
            {at // 60_000_000_000: 1},
        )
    )
stored = StoredBatch(file, batch, 256, hashed(data[-256:]), 1_795_334_400_000_000_000, numbers)
opened = open_store(root / "state" / "sidelog.db", min_free_bytes=0, resources={})
opened.writer.write(Transaction(batches=[stored], groups=groups), lambda *_: 1 / 0, lambda _: 1 / 0)
opened.close()
