"""A language client of a few lines: `nexort lsp` as a process, requests and notifications over its standard streams."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

PATIENCE = 60
"""Seconds after which an answer is taken for lost."""


class Client:
    """One server. Use as a context manager; it ends as the protocol says, and its exit status is then `status`."""

    def __init__(self, folder: Path, *words: str, **capabilities: Any) -> None:
        self.folder = folder
        self.status: int | None = None
        self.errors = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nexortlang", "lsp", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        )  # fmt: skip
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.notified: list[dict[str, Any]] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.capabilities = self.request(
            "initialize",
            {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities},
        )["capabilities"]
        self.notify("initialized", {})

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self.request("shutdown", None)
            self.notify("exit", None)
        _, errors = self._process.communicate(timeout=PATIENCE)
        self.status, self.errors = self._process.returncode, errors.decode()

    # -- messages

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        while header := out.readline():
            length = int(header.split(b":")[1]) if header.lower().startswith(b"content-length") else 0
            while out.readline().strip():
                pass
            self._messages.put(json.loads(out.read(length)))
        self._messages.put({"id": -1, "error": {"message": "the server has left"}})

    def _next(self) -> None:
        message = self._messages.get(timeout=PATIENCE)
        assert message.get("id") != -1, message
        if "method" in message:
            self.notified.append(message)
        else:
            self._answers[message["id"]] = message

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def send(self, method: str, params: Any) -> int:
        """A request whose answer is asked for later."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        return self._number

    def answer(self, number: int) -> dict[str, Any]:
        while number not in self._answers:
            self._next()
        return self._answers.pop(number)

    def request(self, method: str, params: Any) -> Any:
        """The result. An error of the server is an AssertionError."""
        answer = self.answer(self.send(method, params))
        assert "error" not in answer, answer
        return answer["result"]

    def refusal(self, method: str, params: Any) -> str:
        """The message of the error that a request must give."""
        return str(self.answer(self.send(method, params))["error"]["message"])

    # -- documents

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> None:
        item = {"uri": self.uri(name), "languageId": "nexort", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def change(self, name: str, text: str, version: int) -> None:
        document = {"uri": self.uri(name), "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})

    def close(self, name: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": self.uri(name)}})

    def diagnostics(self, name: str, version: int | None = 1) -> list[dict[str, Any]]:
        """What was published about this version, as soon as it is."""
        while True:
            for message in self.notified:
                params = message.get("params") or {}
                if params.get("uri") == self.uri(name) and params.get("version") == version and "diagnostics" in params:
                    self.notified.remove(message)
                    return list(params["diagnostics"])
            self._next()

    def at(self, name: str, line: int, character: int, **more: Any) -> dict[str, Any]:
        """The parameters of a request about a place."""
        position = {"line": line, "character": character}
        return {"textDocument": {"uri": self.uri(name)}, "position": position, **more}

    def whole(self, name: str, **more: Any) -> dict[str, Any]:
        """The parameters of a request about all of a file."""
        everything = {"start": {"line": 0, "character": 0}, "end": {"line": 10**6, "character": 0}}
        return {"textDocument": {"uri": self.uri(name)}, "range": everything, **more}
