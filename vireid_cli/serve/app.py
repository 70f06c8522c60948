"""The ASGI application."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from vireid_cli.errors import UsageError, VireidError
from vireid_cli.serve.access import Access
from vireid_cli.serve.guard import Guard
from vireid_cli.serve.limits import RequestRefused, client_error
from vireid_cli.serve.measures import CONTENT_TYPE, ServerMetrics
from vireid_cli.serve.page import page, policy
from vireid_cli.serve.routes import router
from vireid_cli.serve.services import Services
from vireid_cli.version import __version__

DESCRIPTION = "Search of people in visible and infrared images."


def create_app(
    services: Services,
    access: Access,
    metrics: ServerMetrics,
    log: Callable[[str], object] = lambda text: None,
) -> Guard:
    """Create the application.

    Args:
        services: Indexes, models and limits.
        access: Rule of access.
        metrics: Receives the requests.
        log: Callback with the text of an unexpected error.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Close the services when the server ends."""
        yield
        await services.close()

    app = FastAPI(
        title="vireid",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # these pages load scripts from other servers
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.services = services
    app.include_router(router)
    _add_documents(app, metrics)
    _add_errors(app, log)
    return Guard(app, access, services.limits, metrics)


def _add_documents(app: FastAPI, metrics: ServerMetrics) -> None:
    """Add the page and the metrics."""

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def show_page() -> Response:
        """Return the page."""
        headers = {"content-security-policy": policy(), "cache-control": "no-cache"}
        return HTMLResponse(page(), headers=headers)

    @app.get("/metrics", response_class=Response, summary="Metrics in Prometheus' text format")
    def show_metrics() -> Response:
        """Return all metrics as text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)


def _add_errors(app: FastAPI, log: Callable[[str], object]) -> None:
    """Convert exceptions to answers of one form. Messages about the server's own files are not sent."""

    def answer(refusal: RequestRefused) -> JSONResponse:
        """Convert a refusal to an answer."""
        return JSONResponse(refusal.as_json(), refusal.status)

    @app.exception_handler(RequestRefused)
    async def refuse(request: Request, error: RequestRefused) -> JSONResponse:
        """Answer a refusal of our own."""
        return answer(error)

    @app.exception_handler(VireidError)
    async def report(request: Request, error: VireidError) -> JSONResponse:
        """Answer wrong use with its message, other errors without."""
        if isinstance(error, UsageError):
            return answer(client_error(error))
        log(str(error))
        return answer(RequestRefused(500, "The server can't answer.", "Its log has the reason."))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        """Answer fields of a wrong form."""
        return answer(RequestRefused(422, _mistakes(error.errors())))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        """Answer an error of HTTP."""
        return answer(RequestRefused(error.status_code, str(error.detail)))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        """Log a traceback and answer without it."""
        log("".join(traceback.format_exception(error)))
        return answer(RequestRefused(500, "The server has an error.", "Its log has the details."))


def _mistakes(errors: Any) -> str:
    """One line about each wrong field, without its value."""
    return "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in errors[:10])
