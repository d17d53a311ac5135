"""The process of `workbench.scoring.drivers.local`.

It takes shards on standard input and answers on standard output, a JSON object a line. It ends at
once when its input does.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from typing import IO, Any

from workbench.scoring.drivers.stuck import signs
from workbench.scoring.shards import Shard
from workbench.scoring.worker import Job, ProgressDelta, ShardWorker, ends_all, is_permanent_error


def main() -> None:
    """Answer messages until the input ends.

    {"shard": ...} is answered with {"done": name} or {"failed": reason, "final": bool, "stop":
    bool}, and with {"step": [documents, tokens]} on the way. final: another worker would fail in
    the same way; stop: with any other shard too. {"goes": true} says that the work goes on.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not get between the answers
    messages: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, messages), daemon=True).start()

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")

    def goes() -> None:
        say(goes=True)

    start = messages.get()
    with signs(goes):
        worker = ShardWorker.open(Job.from_json(start["job"]), start["device"])
    say(ready=True)
    while True:
        shard = Shard.from_json(messages.get()["shard"])
        try:
            with signs(goes):
                for outcome in worker.score(shard):
                    if isinstance(outcome, ProgressDelta):
                        say(step=outcome)
                    else:
                        say(done=outcome.shard)
        except Exception as error:  # whatever it is, the shard has an answer
            say(
                failed=f"{type(error).__name__}: {error!s:.500}",
                final=is_permanent_error(error),
                stop=ends_all(error),
            )


def _listen(stream: IO[bytes], messages: queue.Queue[dict[str, Any]]) -> None:
    for line in stream:
        messages.put(json.loads(line))
    os._exit(0)  # the driver is gone: nobody waits for what is being computed


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # No orderly end: it would wait for the thread that waits for the input.
        os._exit(1)
