#!/bin/sh
# Ray Serve writes HAProxy's configuration and has no setting for some of what it must say. This stands in for the
# binary: it amends the file it is given, then becomes HAProxy. HAPROXY_BINARY names the binary.
# - Statistics and metrics listen on every interface: they are narrowed to loopback.
# - Serve's error page, one 500 in plain text for 502, 503 and 504, goes.
# - haproxy_*.cfg beside this script are put into the sections of their names; `backend` is the gateway's.
set -eu
here=$(dirname "$0")
previous=
for argument in "$@"; do
    if [ "$previous" = -f ] && ! grep -q '# millrace:' "$argument"; then
        sed -i -E \
            -e '/^(listen stats|frontend prometheus)$/,/^ *bind /s/^( *bind )\*?:/\1127.0.0.1:/' \
            -e '/^ *errorfile 50[234] /d' \
            -e "/^global\$/r $here/haproxy_global.cfg" \
            -e "/^defaults\$/r $here/haproxy_defaults.cfg" \
            -e "/^frontend http_frontend\$/r $here/haproxy_frontend.cfg" \
            -e "/^backend http-gateway\$/r $here/haproxy_backend.cfg" \
            "$argument"
    fi
    previous=$argument
done
exec "$HAPROXY_BINARY" "$@"
