"""A server of games: textual-serve's, with a door of its own.

Whoever opens the websocket plays with the reader's database, so it is guarded against other people (a token) and
against the other pages of the reader's own browser, which can reach this machine as well as the reader can:

- a page of another origin that opens the websocket is told apart by its Origin;
- a page whose name was made to point here (DNS rebinding) is told apart by its Host, or has no cookie;
- a page that puts the game into a frame is not shown it.
"""

from __future__ import annotations

import asyncio
import hmac
import shlex
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from fate.web.address import host_of, is_loopback

PATIENCE = 5.0  # seconds in which a game that was told to leave must have left

_PAGE = Path(__file__).parent / "page"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Game(AppService):
    """The process behind one tab. It leaves when the tab does, and nothing of it stays."""

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # No shell, and a session of its own: ctrl+c is for the server, which then asks the game to leave.
        self._process = process = await asyncio.create_subprocess_exec(
            *shlex.split(self.command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={**self._build_environment(width, height), "TEXTUAL_DRIVER": "fate.web.driver:BrowserDriver"},
            start_new_session=True,
        )
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        await super().run()
        await self.remote_close()

    async def stop(self) -> None:
        """Let the game leave as with its own key, and see it gone."""
        if self._task is None or self._process is None:
            return
        task, self._task = self._task, None
        await self._download_manager.cancel_app_downloads(app_service_id=self.app_service_id)
        await self.send_meta({"type": "quit"})
        task.cancel()  # nobody is there to be shown anything; but what is still written must be read,
        await asyncio.wait([task])
        try:
            await asyncio.wait_for(self._process.communicate(), PATIENCE)  # or the game waits for a reader for ever
        except TimeoutError:
            pass
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


class GameServer(Server):
    """The page, its files, and a websocket for each game.

    Args:
        command: the arguments that start the app.
        listening: where requests come in.
        host: the name that the reader gave to that place.
        token: what every request must carry, if not None.
    """

    def __init__(self, command: list[str], listening: socket.socket, *, host: str, token: str | None) -> None:
        address, port = listening.getsockname()[:2]
        super().__init__(shlex.join(command), host=host, port=port)
        self._listening = listening
        self._token = token
        self._cookie = f"fate-{port}"  # a browser hands a cookie to every port of a host
        self._websockets: set[web.WebSocketResponse] = set()
        name = socket.gethostname() if address in ("0.0.0.0", "::") else host
        query = f"?token={token}" if token else ""
        self.url = f"http://{f'[{name}]' if ':' in name else name}:{port}/{query}"

    def serve(self, debug: bool = False) -> None:
        """Serve until ctrl+c or SIGTERM; then every game has left."""
        self.debug = debug
        web.run_app(
            self._make_app(),
            sock=self._listening,
            shutdown_timeout=2 * PATIENCE,
            access_log=None,  # it would show the token
            print=None,
        )

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.router.add_get("/page.js", self._script)
        app.middlewares.append(self._guard)
        app.on_response_prepare.append(_add_headers)
        return app

    async def on_startup(self, app: web.Application) -> None:
        print(f"fate is at {self.url}\nctrl+c stops it", flush=True)

    async def on_shutdown(self, app: web.Application) -> None:
        await asyncio.gather(*(websocket.close() for websocket in self._websockets))

    # --- who may come in --------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token is None:
            host = host_of(request.host)
            if not (is_loopback(host) or host == self.host.lower()):
                raise web.HTTPForbidden(text=f"This game is not at {request.host}; open {self.url}")
        elif request.path == "/" and self._is_token(request.query.get("token", "")):
            response = web.HTTPFound("/")  # so that the token stays in no history and in no bookmark
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="Lax")
            raise response
        elif not self._is_token(request.cookies.get(self._cookie, "")):
            raise web.HTTPForbidden(
                text="This game asks for its token: open the whole address that `fate serve` shows, "
                "with ?token=… at its end."
            )
        if request.path == "/ws" and urlsplit(request.headers.get("Origin", "")).netloc != request.host:
            raise web.HTTPForbidden(text="Only the game's own page may play it.")
        return await handler(request)

    def _is_token(self, said: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(said.encode(errors="replace"), self._token.encode())

    # --- what they find ---------------------------------------------------------------------------

    async def handle_index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE / "index.html", headers={"Cache-Control": "no-store"})

    async def _script(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(_PAGE / "page.js")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(heartbeat=15)
        await websocket.prepare(request)

        async def close() -> None:
            await websocket.close()

        game = Game(
            self.command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=self.download_manager,
            debug=self.debug,
        )
        self._websockets.add(websocket)
        try:
            await game.start(to_int(request.query.get("width", ""), 80), to_int(request.query.get("height", ""), 24))
            await self._process_messages(websocket, game)
        finally:
            self._websockets.discard(websocket)
            await game.stop()
        return websocket


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def app_command(*flags: str) -> list[str]:
    """What starts the app with these flags; -P, so that it imports nothing from the folder it is started in."""
    return [sys.executable, "-P", "-m", "fate", *flags]
