#!/bin/sh
# Ray Serve writes HAProxy a configuration whose statistics page and metrics listen on every interface, with no setting
# to change that. This stands in for the binary: it narrows both to loopback in the file it is given, then becomes
# HAProxy. HAPROXY_BINARY names the binary.
set -eu
previous=
for argument in "$@"; do
    if [ "$previous" = -f ]; then
        sed -i -E '/^(listen stats|frontend prometheus)$/,/^ *bind /s/^( *bind )\*?:/\1127.0.0.1:/' "$argument"
    fi
    previous=$argument
done
exec "$HAPROXY_BINARY" "$@"
