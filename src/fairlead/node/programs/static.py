"""A server of files, where a web server's image is wanted and the host has none.

It has the image's folder, port and first page, and nothing else: no configuration, no proxying. So that nobody takes it
for what it is not, it says `fairlead-static` in the header Server, and does not start where a configuration is mounted.
"""

from __future__ import annotations

import mimetypes
import os
import sys
from pathlib import Path
from urllib.parse import unquote

from fairlead.node.programs.serving import Answer, Handle, Request, serve

NAME = "fairlead-static"


def nginx() -> int:
    """nginx: /usr/share/nginx/html on port 80."""
    return _serve("nginx", "nginx", "/etc/nginx", "/usr/share/nginx/html", 80)


def nginx_unprivileged() -> int:
    """nginxinc/nginx-unprivileged: the same on port 8080."""
    return _serve("nginx", "nginx", "/etc/nginx", "/usr/share/nginx/html", 8080)


def httpd() -> int:
    """httpd: /usr/local/apache2/htdocs on port 80."""
    return _serve("httpd", "apache2", "/usr/local/apache2/conf", "/usr/local/apache2/htdocs", 80)


def _serve(image: str, package: str, configuration: str, folder: str, port: int) -> int:
    if any(is_below(place, configuration) for place in mounted()):
        print(
            f"this host has no {image}, and its stand-in reads no configuration, but one is mounted at "
            f"{configuration}: install the Debian package {package}",
            file=sys.stderr,
        )
        return 1
    return serve(
        {port: files(Path(folder))}, name=NAME, announce=f"{NAME} (in place of {image}) on port {port}"
    )


def files(folder: Path) -> Handle:
    """Answers with the files below a folder, index.html for a folder."""

    def handle(request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return Answer(b"405 Not Allowed\n", status=405)
        top = folder.resolve()
        try:
            path = (top / unquote(request.path).lstrip("/")).resolve()
            if path.is_dir():
                path = (path / "index.html").resolve()
            if not path.is_relative_to(top):
                return Answer(b"404 Not Found\n", status=404)
            body = path.read_bytes()
        except PermissionError:
            return Answer(b"403 Forbidden\n", status=403)
        except (OSError, ValueError):
            return Answer(b"404 Not Found\n", status=404)
        return Answer(body, kind=mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    return handle


def mounted() -> list[str]:
    """Where something is mounted in this container."""
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def is_below(place: str, folder: str) -> bool:
    """Whether a path is the folder, or in it."""
    return place == folder or place.startswith(os.path.join(folder, ""))
