"""The Ray cluster that a run uses: the program's, one with an address, or one of its own.

If the program has called ray.init, that cluster is used, or else the one that RAY_ADDRESS names, or
else one is started on this machine and shut down at the end. It sends nothing to anybody. Ray
listens on all interfaces; the token that Ray keeps in ~/.ray keeps others out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

_OBJECT_STORE = 100 << 20  # bytes; descriptors and receipts are small, the rest goes to disk
_NO_USAGE = {"RAY_USAGE_STATS_ENABLED": "0"}


def import_ray() -> ModuleType:
    """The package Ray, imported when it is needed.

    Raises:
        ImportError: it is not installed; the message says how to get it.
    """
    try:
        import ray
    except ImportError as error:
        raise ImportError(
            "the Ray driver needs Ray: pip install attention-influence-workbench[ray]"
        ) from error
    return ray


@contextlib.contextmanager
def cluster(ray: ModuleType, count: int, device: str, workdir: Path) -> Iterator[None]:
    """A cluster with workers of `device` ("cpu" or "cuda") for the block.

    Args:
        ray: the module.
        count: CPUs of a cluster that is started here.
        device: "cpu" or "cuda"; the cluster must have one.
        workdir: a folder for what a cluster that is started here has to find.

    Raises:
        RuntimeError: the cluster does not start, or has no such device.
    """
    own, session = not ray.is_initialized(), None
    before = signal.getsignal(signal.SIGTERM)
    try:
        if own and "RAY_ADDRESS" in os.environ:
            ray.init(logging_level="error")
        elif own:
            with _environment(_NO_USAGE):
                session = _start(ray, count, workdir)
        if own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has put its own there
        wanted = "GPU" if device == "cuda" else "CPU"
        if ray.cluster_resources().get(wanted, 0) < 1:
            raise RuntimeError(
                f"the model is on {device!r} and the Ray cluster has no {wanted}: start Ray with "
                "one, or load the model on another device"
            )
        yield
    finally:
        if own:
            ray.shutdown()
        if session is not None:  # logs; what went wrong was answered
            shutil.rmtree(session, ignore_errors=True)


def _start(ray: ModuleType, count: int, workdir: Path) -> str:
    """Start Ray on this machine with `count` CPUs, and return the folder that it writes to.

    Each of its processes imports jsonschema, which builds a grammar of IRIs for two seconds where
    Jupyter is installed. On two cores they then come near the 15 seconds that Ray waits for them
    before it gives up, so that grammar is kept from them.
    """
    without = workdir / "start"
    without.mkdir(exist_ok=True)
    (without / "rfc3987_syntax.py").write_text("raise ImportError\n", encoding="utf-8")
    others = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    path = os.pathsep.join([str(without), *others])
    try:
        with _environment({"PYTHONPATH": path, "RAY_BACKEND_LOG_LEVEL": "fatal"}), _silent():
            started = ray.init(
                "local",
                num_cpus=count,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                object_store_memory=_OBJECT_STORE,
            )
    except Exception as error:
        raise RuntimeError(
            f"Ray did not start on this machine ({error!s:.300}); a busy machine may be too slow "
            "for it. Start it by `ray start --head` and set RAY_ADDRESS=auto, or take the local "
            "driver"
        ) from error
    return started.address_info["session_dir"]


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables for the block, and for the processes that are started in it."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error for the block, where progress may be going as JSON.

    Ray's C++ part says there how little it is going to say.
    """
    with open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        try:
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
