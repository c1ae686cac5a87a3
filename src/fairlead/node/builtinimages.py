"""The images that need no map: what everybody's examples use, as this host's programs or as stand-ins of our own.

An entry whose program the host lacks runs its stand-in if it has one, and else waits, saying which Debian
package has it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace

from fairlead.node import databases
from fairlead.node.environment import PATH
from fairlead.node.images import Image

_APPLETS = (
    "ash awk base64 bunzip2 cat chmod chown clear cp cut date dd df diff dirname dmesg du echo egrep env expr"
    " false find free ftpget ftpput grep gunzip gzip head hexdump hostname httpd id ifconfig ip kill killall"
    " less ln ls md5sum mkdir mkfifo mktemp more mv nc netstat nslookup od paste pidof ping ping6 pgrep pkill"
    " printenv printf ps pwd readlink realpath rm rmdir route sed seq sh sha256sum sleep sort stat strings stty"
    " sync tail tar tee telnet telnetd test tftp time timeout top touch tr traceroute traceroute6 true tty"
    " udhcpc uname uniq unzip uptime vi watch wc wget which whoami xargs yes zcat"
)
_APPLETS_FOLDER = "/usr/local/lib/busybox"

_REGISTRIES = ("registry.k8s.io", "k8s.gcr.io", "gcr.io/google-containers", "gcr.io/google_containers")
"""Where Kubernetes' own images are, and have been."""

_GOOGLE = ("gcr.io/google-samples", "us-docker.pkg.dev/google-samples/containers/gke")
_E2E = ("registry.k8s.io/e2e-test-images", "k8s.gcr.io/e2e-test-images")


def builtin() -> dict[str, Image]:
    """The images that are part of this package, by name. Makes no program start and imports none: microseconds."""
    return {
        **_own(),
        **_shells(),
        **_servers(),
        **_greeters(),
        **_tutorials(),
        **databases.images(),
        **_absent(),
    }


def _own() -> dict[str, Image]:
    return {"fairlead/echo": Image(entrypoint=("echo",), run=_program("fairlead.node.echo"))}


def _shells() -> dict[str, Image]:
    busybox = shutil.which("busybox", path=PATH)
    applets: Mapping[str, str] = {}
    environment = {}
    if busybox:
        applets = {f"{_APPLETS_FOLDER}/{name}": busybox for name in _APPLETS.split()}
        environment = {"PATH": f"{_APPLETS_FOLDER}:{PATH}"}
    small = Image(command=("sh",), environment=environment, links=applets)
    large = Image(command=("bash",), needs="bash", package="bash")
    python = shutil.which("python3", path=PATH)
    links = {"/usr/local/bin/python": os.path.realpath(python)} if python else {}
    return {
        "busybox": small,
        **dict.fromkeys((f"{registry}/busybox" for registry in (*_REGISTRIES, *_E2E)), small),
        "alpine": small,
        **dict.fromkeys(("debian", "ubuntu", "bash", "fedora", "centos", "rockylinux", "almalinux"), large),
        **dict.fromkeys(("nicolaka/netshoot", "praqma/network-multitool", "wbitt/network-multitool"), large),
        **dict.fromkeys(
            (f"{registry}/jessie-dnsutils" for registry in _E2E), Image(command=("sleep", "infinity"))
        ),
        "python": Image(command=("python3",), needs="python3", package="python3", links=links),
        "curlimages/curl": Image(entrypoint=_either("curl"), needs="curl", package="curl"),
        "appropriate/curl": Image(entrypoint=("curl",), needs="curl", package="curl"),
    }


def _servers() -> dict[str, Image]:
    nginx = Image(
        entrypoint=("nginx", "-g", "daemon off;"),
        needs="nginx",
        package="nginx",
        files={
            "/etc/nginx/nginx.conf": _NGINX,
            "/etc/nginx/conf.d/default.conf": _NGINX_DEFAULT % 80,
            "/usr/share/nginx/html/index.html": _NGINX_PAGE,
            "/usr/share/nginx/html/50x.html": _ERROR_PAGE,
        },
        stand_in=_program("fairlead.node.programs.static", "nginx"),
    )
    unprivileged = Image(
        entrypoint=nginx.entrypoint,
        needs="nginx",
        package="nginx",
        files={**nginx.files, "/etc/nginx/conf.d/default.conf": _NGINX_DEFAULT % 8080},
        user="101",
        stand_in=_program("fairlead.node.programs.static", "nginx_unprivileged"),
    )
    httpd = Image(
        entrypoint=("apache2", "-DFOREGROUND", "-f", "/usr/local/apache2/conf/httpd.conf"),
        needs="apache2",
        package="apache2",
        files={
            "/usr/local/apache2/conf/httpd.conf": _HTTPD,
            "/usr/local/apache2/htdocs/index.html": "<html><body><h1>It works!</h1></body></html>\n",
            "/usr/local/apache2/logs/.keep": "",
        },
        stand_in=_program("fairlead.node.programs.static", "httpd"),
    )
    redis = Image(
        entrypoint=("sh", "-ec", _REDIS, "redis"),
        command=("redis-server",),
        directory="/data",
        needs="redis-server",
        package="redis-server",
    )
    follower = replace(redis, command=("redis-server", "--replicaof", "redis-leader", "6379"))
    memcached = Image(
        entrypoint=_either("memcached"),
        command=("memcached",),
        needs="memcached",
        package="memcached",
        user="65534",
    )
    return {
        "nginx": nginx,
        **dict.fromkeys((f"{registry}/nginx-slim" for registry in _REGISTRIES), nginx),
        "nginxinc/nginx-unprivileged": unprivileged,
        "httpd": httpd,
        "bprashanth/nginxhttps": nginx,
        "redis": redis,
        **dict.fromkeys((f"{registry}/redis" for registry in _REGISTRIES), redis),
        **dict.fromkeys((f"{registry}/gb-redis-follower" for registry in _GOOGLE), follower),
        "memcached": memcached,
    }


def _greeters() -> dict[str, Image]:
    agnhost = Image(
        entrypoint=("agnhost",), command=("pause",), run=_program("fairlead.node.programs.agnhost")
    )
    pause = Image(entrypoint=("pause",), run=_program("fairlead.node.programs.agnhost", "wait_only"))
    whoami = _greeter("whoami")
    hello_1, hello_2 = _greeter("hello_app_1"), _greeter("hello_app_2")
    found = {
        "hashicorp/http-echo": _greeter("http_echo"),
        "nginxdemos/hello": _greeter("hello"),
        "traefik/whoami": whoami,
        "containous/whoami": whoami,
        "jwilder/whoami": _greeter("jwilder_whoami"),
        "kicbase/echo-server": _greeter("echo_server"),
        "kennethreitz/httpbin": _greeter("httpbin"),
    }
    for repository in _GOOGLE:
        found |= {f"{repository}/hello-app:2.0": hello_2, f"{repository}/hello-app": hello_1}
    found |= dict.fromkeys((f"{registry}/pause" for registry in _REGISTRIES), pause)
    return found | dict.fromkeys((f"{registry}/agnhost" for registry in _E2E), agnhost)


def _tutorials() -> dict[str, Image]:
    """The images of the tutorials on kubernetes.io, in the registries where these had them over the years.

    Of kubernetes-bootcamp the tutorial asks for a version that does not exist.
    """
    found: dict[str, Image] = {}
    for registry in _REGISTRIES:
        found |= {
            f"{registry}/serve_hostname": _tutorial("hostnames"),
            f"{registry}/echoserver:1.4": _tutorial("echoserver_1_4"),
            f"{registry}/echoserver": _tutorial("echoserver"),
            f"{registry}/liveness": _tutorial("liveness"),
            f"{registry}/goproxy": _tutorial("goproxy"),
            f"{registry}/hpa-example": _tutorial("hpa_example"),
        }
    found |= dict.fromkeys((f"{registry}/echoserver" for registry in _E2E), _tutorial("echoserver"))
    for registry in (*_GOOGLE, "jocatalin"):
        found |= {
            f"{registry}/kubernetes-bootcamp:v2": _tutorial("bootcamp_2"),
            f"{registry}/kubernetes-bootcamp:v1": _tutorial("bootcamp_1"),
        }
    guestbook = Image(entrypoint=("gb-frontend",), run=_program("fairlead.node.programs.guestbook"))
    for registry in _GOOGLE:
        found |= {
            f"{registry}/node-hello": _tutorial("node_hello"),
            f"{registry}/hello-go-gke": _tutorial("hello_backend"),
            f"{registry}/hello-frontend": _tutorial("hello_frontend"),
            f"{registry}/gb-frontend": guestbook,
        }
    return found | {f"gcr.io/kuar-demo/kuard-{arch}": _tutorial("kuard") for arch in ("amd64", "arm64")}


def _absent() -> dict[str, Image]:
    """Images that cannot be a program of the host by themselves: it does not begin with what they do."""
    return {"rabbitmq": Image(package="rabbitmq-server")}


def _greeter(function: str) -> Image:
    return Image(entrypoint=(function,), run=_program("fairlead.node.programs.greeters", function))


def _tutorial(function: str) -> Image:
    return Image(entrypoint=(function,), run=_program("fairlead.node.programs.tutorials", function))


def _program(module: str, function: str = "main") -> Callable[[], int]:
    """A function that is imported when it is called, in the container: what no pod runs costs no memory."""

    def run() -> int:
        from importlib import import_module

        status: int = getattr(import_module(module), function)()
        return status

    return run


def _either(program: str) -> tuple[str, ...]:
    """As entrypoint scripts do it: a command among the arguments is run, other arguments are the program's."""
    script = 'case "$1" in ""|-*|*://*) ;; *) if command -v "$1" >/dev/null; then exec "$@"; fi;; esac; '
    return ("sh", "-c", f'{script}exec {program} "$@"', program)


_REDIS = (
    'case "$1" in -*|*.conf) set -- redis-server "$@";; esac; '
    'if [ "$1" = redis-server ]; then exec "$@" --protected-mode no; fi; exec "$@"'
)

_NGINX = """\
worker_processes 1;
error_log /dev/stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    client_body_temp_path /tmp/nginx-body;
    proxy_temp_path /tmp/nginx-proxy;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    sendfile on;
    include /etc/nginx/conf.d/*.conf;
}
"""

_NGINX_DEFAULT = """\
server {
    listen %d;
    server_name localhost;
    location / { root /usr/share/nginx/html; index index.html index.htm; }
    error_page 500 502 503 504 /50x.html;
    location = /50x.html { root /usr/share/nginx/html; }
}
"""

_NGINX_PAGE = """\
<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body><h1>Welcome to nginx!</h1><p>This page is Fairlead's.</p></body>
</html>
"""

_ERROR_PAGE = """\
<!DOCTYPE html>
<html><head><title>Error</title></head><body><h1>An error occurred.</h1></body></html>
"""

_HTTPD = """\
ServerRoot /usr/local/apache2
ServerName localhost
PidFile /tmp/httpd.pid
Listen 80
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
TypesConfig /etc/mime.types
DocumentRoot /usr/local/apache2/htdocs
DirectoryIndex index.html
<Directory /usr/local/apache2/htdocs>
    Require all granted
</Directory>
User www-data
Group www-data
ErrorLog /dev/stderr
"""
