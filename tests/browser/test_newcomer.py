"""The commands of the README, typed in a clone that has no environment, in one after the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
from faults.runs import HANGS, wait_until
from support.clones import clone, git, newcomer

from browser.lab import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return clone(tmp_path_factory.mktemp("newcomer"))


def made(folder, target):
    """Run a target to its end, with the Python of this session."""
    command = ["make", target, f"PYTHON={sys._base_executable}"]
    done = subprocess.run(command, cwd=folder, env=newcomer(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@contextlib.contextmanager
def lab_of(folder, home):
    """`make lab`, up to a server that answers: its address and token. Ended as by its button."""
    options = "--no-browser --ip=127.0.0.1 --port=0" + " --allow-root" * (os.geteuid() == 0)
    apart = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("RUNTIME", "CONFIG")}
    apart |= {
        f"JUPYTERLAB_{kind}_DIR": str(home / kind.lower()) for kind in ("WORKSPACES", "SETTINGS")
    }
    log = (home / "log").open("w+")
    process = subprocess.Popen(
        ["make", "lab", f"PYTHON={sys._base_executable}", f"LAB_OPTIONS={options}"],
        cwd=folder, env=newcomer() | apart, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        server = {}

        def answers():
            assert process.poll() is None, (home / "log").read_text()[-3000:]
            with contextlib.suppress(OSError, ValueError):  # it is still coming up
                for record in (home / "runtime").glob("jpserver-*.json"):
                    server.update(json.loads(record.read_text()))
                    return ask(server, "api/status")
            return None

        wait_until(answers)
        yield server
        ask(server, "api/shutdown", b"")
        assert process.wait(HANGS) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def ask(server, path, data=None):
    """What the server answers; with data, to a POST."""
    headers = {"Authorization": f"token {server['token']}"}
    request = urllib.request.Request(server["url"] + path, data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def is_end_of_save(response):
    """JupyterLab stores the notebook, and then makes a checkpoint of it."""
    return response.request.method == "POST" and response.url.split("?")[0].endswith("/checkpoints")


def test_make_lab_renders_the_first_results_and_leaves_no_trace_in_git(fresh, page, tmp_path):
    """Of notebook 01: notebook 00, which `make lab` opens beside it, holds no code."""
    with lab_of(fresh, tmp_path) as server:
        page.goto(f"{server['url']}lab/tree/01_find_the_heads.ipynb?token={server['token']}",
                  timeout=PATIENCE)  # fmt: skip
        page.wait_for_selector(".jp-Notebook .jp-MarkdownCell h1", timeout=PATIENCE)
        page.wait_for_selector(".jp-Notebook .jp-OutputArea table", timeout=PATIENCE)
        # Who has not run it yet does not trust it: a figure is a picture there.
        page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-OutputArea img')].some(i => i.naturalWidth)",
            timeout=PATIENCE,
        )
        assert page.locator(".jp-Dialog").count() == 0
        # A kernel of this environment is there; it has imported nothing yet.
        page.locator(".jp-StatusBar-Left", has_text="| Idle").wait_for(timeout=PATIENCE)
        assert not page.get_by_text("Would you like to get notified").is_visible()
        with page.expect_response(is_end_of_save, timeout=PATIENCE):
            page.keyboard.press("Control+s")
        page.goto("about:blank")  # JupyterLab complains of a server that ends under it
    assert git(fresh, "status", "--porcelain") == ""


def test_then_make_demo_ends_in_a_verified_manifest_and_clean_removes_it_all(fresh):
    made(fresh, "demo")
    verified = subprocess.run(
        [fresh / ".venv/bin/workbench", "verify", "demo-run"], cwd=fresh, env=newcomer(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout
    assert git(fresh, "status", "--porcelain") == ""
    made(fresh, "clean")
    assert not (fresh / ".venv").exists()
    assert git(fresh, "status", "--porcelain", "--ignored") == ""
