"""The cluster's internal token: random, made once, kept in Ray's internal key-value store.

Needs a process that is connected to Ray. First writer wins, so every reader of one cluster gets the same token.
"""

import secrets

NAMESPACE = b"millrace"
KEY = b"internal-token"


def internal_token() -> str:
    """The token of the cluster this process is connected to, made now if it has none."""
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put

    _internal_kv_put(KEY, secrets.token_urlsafe(32).encode(), overwrite=False, namespace=NAMESPACE)
    token = _internal_kv_get(KEY, namespace=NAMESPACE)
    if not token:
        raise RuntimeError("the cluster's internal token could not be stored in Ray's key-value store")
    return str(token.decode())
