"""One page of the system's Chromium without a window, driven by Playwright."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-extensions", "--hide-scrollbars")
PATIENCE = 180.0
"""Seconds that an answer may take on a busy machine."""


def missing() -> str:
    """The missing requirement of a browser test and its remedy; empty if nothing is missing."""
    if importlib.util.find_spec("playwright") is None:
        return "no Playwright here: pip install 'vireid[dev]'"
    return "" if program() else "no Chromium here: apt-get install chromium (Debian, Ubuntu)"


def program() -> str | None:
    """The browser's program, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One page of a browser with an empty profile.

    Args:
        profile: An empty folder for it.

    Attributes:
        complaints: Errors and warnings that the page has caused, as text.
        requests: Addresses that the page has requested, images in it (``data:``) left out.
    """

    def __init__(self, profile: Path) -> None:
        from playwright.sync_api import sync_playwright

        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program(),
            args=list(FLAGS),
            timeout=1000 * PATIENCE,
            no_viewport=True,
        )
        self._page = self._browser.pages[0]
        self._page.set_default_timeout(1000 * PATIENCE)
        self._page.on("console", self._note_console)
        self._page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._page.on("request", lambda request: self._note_request(request.url))
        # Playwright's own evaluation is an eval(), which the report's policy refuses.
        self._tools = self._browser.new_cdp_session(self._page)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def _note_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _note_request(self, url: str) -> None:
        if not url.startswith("data:"):
            self.requests.append(url)

    def open(self, path: Path) -> float:
        """Load a file; seconds until its script has run and a frame of it is drawn."""
        return self.visit(path.resolve().as_uri())

    def visit(self, address: str) -> float:
        """Load an address; see ``open``."""
        self.complaints.clear()
        self.requests.clear()
        began = time.perf_counter()
        self._page.goto(address)
        self.wait("document.documentElement?.dataset.ready === 'true'")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        return time.perf_counter() - began

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression in the page; promises are awaited."""
        answer = self._tools.send(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str, repeated: Callable[[], object] = lambda: None) -> None:
        """Wait until an expression is true, doing something again before each look."""
        left = PATIENCE
        while repeated() is not None or not self.run(script):
            if left <= 0:
                raise TimeoutError(script)
            self._page.wait_for_timeout(20)
            left -= 0.02  # a minute for which the test was stopped counts as one look

    def point(self, element: str) -> None:
        """Move the pointer to the middle of an element, given as an expression."""
        x, y = self.run(
            f"(b => [b.x + b.width / 2, b.y + b.height / 2])(({element}).getBoundingClientRect())"
        )
        for aside in (1, 0):  # a pointer that is already there causes no event
            self._page.mouse.move(x - aside, y)

    def choose_files(self, selector: str, paths: list[Path]) -> None:
        """Choose files in a field, as its dialog does."""
        self._page.set_input_files(selector, [str(path) for path in paths])

    def key(self, name: str) -> None:
        """Press and release a key."""
        self._page.keyboard.press(name)

    def screen(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Set the size of the view in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self._tools.send("Emulation.setDeviceMetricsOverride", size)

    def prefer(
        self, scheme: Literal["light", "dark"] = "light", media: Literal["print"] | None = None
    ) -> None:
        """Set the preferred colour scheme and the medium (None: the screen)."""
        self._page.emulate_media(color_scheme=scheme, media=media or "screen")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a PNG of the view, or of the whole page."""
        self._page.screenshot(path=path, full_page=whole)

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return self._page.pdf()
