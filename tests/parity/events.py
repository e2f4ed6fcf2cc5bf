"""TensorBoard's own code beside the trainer's event files. Needs `pip install tensorboard`.

    python tests/parity/events.py golden trainer/goldens/events.tfevents
        writes the events that trainer/src/metrics/events.rs is compared with

    python tests/parity/events.py check RUN
        reads RUN/tensorboard as TensorBoard does and compares every number with RUN/metrics.jsonl;
        ends with 1 where one is missing, too many or different
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def golden(path):
    events = [event_pb2.Event(wall_time=1.5, file_version="brain.Event:2")]
    events.append(event_pb2.Event(wall_time=2.25, step=301))
    events[-1].session_log.status = event_pb2.SessionLog.START
    for time, step, values in [
        (3.0, 0, [("loss", 0.0)]),
        (1_700_000_000.125, 300_000, [("reward", 0.25), ("rewards/likelihood/mean", -12.5), ("eval/größe", 1e-3)]),
    ]:
        events.append(event_pb2.Event(wall_time=time, step=step))
        for tag, value in values:
            events[-1].summary.value.add(tag=tag, simple_value=value)
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def numbers(value, name=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{name}/{key}" if name else key)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and name != "step":
        yield name, value


def check(run):
    run = pathlib.Path(run)
    expected = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        line = json.loads(line)
        for name, value in numbers(line):
            expected.setdefault(name, []).append((line["step"], value))
    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    reader.Reload()
    found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    wrong = sorted(set(expected) ^ set(found))
    for name in set(expected) & set(found):
        same = len(expected[name]) == len(found[name]) and all(
            a[0] == b[0] and abs(a[1] - b[1]) <= 1e-6 * abs(a[1]) + 1e-30
            for a, b in zip(expected[name], found[name])
        )
        if not same:
            wrong.append(name)
    values = sum(map(len, found.values()))
    print(f"{len(found)} curves, {values} values read by TensorBoard; {len(wrong)} wrong {wrong}")
    sys.exit(1 if wrong or not values else 0)


{"golden": golden, "check": check}[sys.argv[1]](sys.argv[2])
