"""A real Chromium without a window, spoken to over a pipe: it needs no package and opens no port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
PATIENCE = 180.0
"""Seconds that an answer may take on a busy machine."""


class Patience:
    """Time that runs while this process does: a minute for which it was stopped counts as a second."""

    def __init__(self) -> None:
        self._left, self._last = PATIENCE, time.monotonic()

    def ended(self) -> bool:
        """Whether it has come to its end; to be asked every second."""
        now = time.monotonic()
        self._left -= min(1.0, now - self._last)
        self._last = now
        return self._left <= 0


def found() -> str | None:
    """The browser's program, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One page of a browser with an empty profile.

    Args:
        profile: An empty folder for it.

    Attributes:
        events: Everything that the browser has said of itself: requests, console lines, exceptions.
    """

    def __init__(self, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        program = found()
        assert program is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def attach() -> None:  # the browser reads from 3 and writes to 4
            low, high = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(low, 3)
            os.dup2(high, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=attach,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(profile)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        targets = self("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._out)  # the browser leaves when nobody speaks to it any more
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command of the DevTools protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        patience = Patience()
        while self._number not in self._answers:
            self._listen(patience)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, path: Path) -> float:
        """Load a file; seconds until its script has run and a frame of it is drawn."""
        began = time.perf_counter()
        self("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement?.dataset.ready === 'true'")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return time.perf_counter() - began

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression in the page; promises are awaited."""
        found = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def wait(self, script: str, again: Callable[[], object] = lambda: None) -> None:
        """Wait until an expression is true, doing something again before each look."""
        patience = Patience()
        while again() is not None or not self.run(script):
            if patience.ended():
                raise TimeoutError(script)
            time.sleep(0.02)

    def point(self, element: str) -> None:
        """Move the pointer to the middle of an element, given as an expression."""
        x, y = self.run(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])(({element}).getBoundingClientRect())"
        )
        for aside in (1, 0):  # no event comes of a pointer that stands there already
            self("Input.dispatchMouseEvent", type="mouseMoved", x=x - aside, y=y)

    def key(self, name: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        about: dict[str, Any] = {"key": name, "code": name, "windowsVirtualKeyCode": code}
        self("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self("Input.dispatchKeyEvent", type="keyUp", **about)

    def screen(self, width: int, height: int, *, mobile: bool = False, scale: float = 1.0) -> None:
        """Set the size of the view in CSS pixels."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def prefer(self, scheme: str = "light", media: str = "") -> None:
        """Set the preferred colour scheme and the medium (``print``; empty: as it is)."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self("Emulation.setEmulatedMedia", media=media, features=features)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a PNG of the view, or of the whole page."""
        found = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self("Page.printToPDF", printBackground=False)["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings that the page has caused, as text."""
        found = []
        for event in self.events:
            about = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(about["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
                found.append(about["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning"):
                found.append(json.dumps(about["args"]))
        return found

    def requests(self) -> list[str]:
        """Addresses that the page has asked for, images in it (``data:``) left out."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _listen(self, patience: Patience) -> None:
        """Take in what the browser says next."""
        while not select.select([self._in], [], [], 1.0)[0]:
            if patience.ended():
                raise TimeoutError(f"the browser said nothing for {PATIENCE:.0f} s")
        chunk = os.read(self._in, 1 << 16)
        if not chunk:
            raise TimeoutError("the browser has left")
        *whole, self._rest = (self._rest + chunk).split(b"\0")
        for text in whole:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)
