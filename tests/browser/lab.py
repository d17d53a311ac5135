"""A real JupyterLab for the tests: a server of its own, its notebooks, and a look into kernels."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client import BlockingKernelClient

TOKEN = "for-the-tests"
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
PATIENCE = 600_000  # ms after which something is taken to hang; nothing waits for a time


class Lab:
    """JupyterLab over a folder, with settings and runtime files of its own."""

    def __init__(self, folder: Path, theme: str = LIGHT) -> None:
        self.folder = folder / "files"
        self.folder.mkdir(parents=True)
        self.runtime = folder / "runtime"
        settings = folder / "settings"
        overrides = {
            "notification": {"fetchNews": "false", "checkForUpdates": False},
            "themes": {"theme": theme},
        }
        for name, values in overrides.items():
            place = settings / "@jupyterlab/apputils-extension" / f"{name}.jupyterlab-settings"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        environment = {
            **os.environ,
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
            "HF_HUB_OFFLINE": "1",
        }
        self.log = folder / "lab.log"
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}",
        ]  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder
            )
        self._wait()

    def _wait(self) -> None:
        while self.process.poll() is None:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()

    # ---- notebooks --------------------------------------------------------------------------

    def notebook(self, name: str, *cells: str) -> None:
        """Write a notebook of code cells."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.metadata.kernelspec = {
            "name": "python3", "display_name": "Python 3", "language": "python",
        }  # fmt: skip
        nbformat.write(made, self.folder / name)

    def open(self, page, name: str) -> None:
        """Open a notebook alone, with everything else of JupyterLab in its usual place."""
        address = f"http://127.0.0.1:{self.port}/lab/workspaces/{Path(name).stem}/tree/{name}"
        page.goto(f"{address}?reset&token={TOKEN}", timeout=PATIENCE)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=PATIENCE)

    def run_all(self, page) -> None:
        """Run all cells from the menu, as a user would."""
        status = page.locator(".jp-StatusBar-Left", has_text="(ipykernel) | Idle")
        status.wait_for(timeout=PATIENCE)  # what is asked before is dropped
        menu(page, "Run", "Run All Cells")

    def show(self, page, name: str) -> None:
        """Open a notebook, run it, and wait for the explorer that it ends in."""
        self.open(page, name)
        self.run_all(page)
        error = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
        page.wait_for_selector(f".aiw-token, {error}", timeout=PATIENCE)
        if not page.locator(".aiw-token").count():
            raise AssertionError(page.locator(error).last.text_content())
        self.settle()

    def settle(self) -> None:
        """Wait until the explorer computes nothing any more, without an error."""
        self.until(f"explorer.wait({PATIENCE // 1000}), explorer.status.error", "(True, None)")

    def saved(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    # ---- kernels ----------------------------------------------------------------------------

    def ask(self, code: str) -> str:
        """An expression as text, in the kernel that was started last."""
        files = sorted(self.runtime.glob("kernel-*.json"), key=lambda path: path.stat().st_mtime)
        client = BlockingKernelClient(connection_file=str(files[-1]))
        client.load_connection_file()
        client.start_channels()
        try:
            # The reply alone: what is published is lost on a client that is not yet subscribed.
            asked = client.execute(
                "", store_history=False, user_expressions={"asked": f"str(({code}))"}
            )
            end = time.monotonic() + PATIENCE / 1000
            reply: dict = {"parent_header": {}}
            while reply["parent_header"].get("msg_id") != asked:
                reply = client.get_shell_msg(timeout=max(end - time.monotonic(), 0.001))
            answer = reply["content"]["user_expressions"]["asked"]
            if answer["status"] != "ok":
                raise AssertionError("\n".join(answer["traceback"]))
            return str(ast.literal_eval(answer["data"]["text/plain"])).strip()
        finally:
            client.stop_channels()

    def until(self, code: str, expected: str) -> None:
        """Wait until an expression prints what is expected."""
        end = time.monotonic() + PATIENCE / 1000
        value = self.ask(code)
        while value != expected:
            assert time.monotonic() < end, f"{code} is {value!r}, not {expected!r}"
            time.sleep(0.1)
            value = self.ask(code)


def menu(page, *names: str) -> None:
    """Choose an item of JupyterLab's menu bar."""
    bar, *items = names
    page.get_by_role("menuitem", name=bar, exact=True).click()
    for item in items:
        page.locator(".lm-Menu-item", has_text=re.compile(f"^{re.escape(item)}")).first.click()


def button(page, text: str):
    """A button of the explorer."""
    return page.locator(".aiw-explorer button", has_text=re.compile(f"^{re.escape(text)}$"))


def fill(page, name: str, value: str) -> None:
    """Fill in the field whose name, read out and shown by the pointer, begins so."""
    box = page.locator(f'.aiw-explorer input[title^="{name}"]')
    box.fill(value)
    box.press("Tab")


def tab(page, text: str) -> None:
    """Bring a tab of the explorer to the front."""
    page.locator(".aiw-explorer .lm-TabBar-tab", has_text=text).click()


def cell(page, layer: int, head: int, heads: int = 9):
    """The cell of a head in the grid."""
    return page.locator(f'.aiw-cell[data-index="{layer * heads + head}"]')
