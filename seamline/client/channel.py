"""Channels to a service, balanced over its replicas."""

import json
from functools import partial

import grpc

from seamline.client.renewing import RenewingChannel
from seamline.client.tokens import authorization
from seamline.errors import InvalidInput
from seamline.rpc.tls import Tls

MAX_MESSAGE_BYTES = 4 << 20
KEEPALIVE_SECONDS = 30
"""How often a call under way asks whether the server still lives; the servers allow every 10 s."""

_URLS = ("http://", "https://", "grpc://", "grpcs://")

_SERVICE_CONFIG = json.dumps(
    {
        # Over all addresses that the name resolves to: a headless service in Kubernetes.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                # gRPC retries a call by itself only while nothing of its answer has arrived.
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def open_channel(endpoint: str, *, tls: Tls = Tls(), token: str = "", name: str = "") -> grpc.aio.Channel:
    """A channel to `endpoint`; it connects when first used and must be closed (`async with`).

    Args:
        endpoint: "host:port", or "dns:///host:port" for every replica behind a headless service.
        tls: whom to trust and what to show; without authorities it speaks plaintext, as inside a mesh. Files that
            change are read again, and later calls use them.
        token: sent with every call, as the editor may ask for.
        name: what the certificate of the service is for, where the endpoint is one of its addresses.

    Raises:
        InvalidInput: the endpoint is empty or a URL, a file of `tls` is wrong, or the token would go over plaintext.
    """
    if not endpoint:
        raise InvalidInput('the endpoint is empty; give it as "host:port" or "dns:///host:port"', field="endpoint")
    if endpoint.startswith(_URLS):
        raise InvalidInput(
            f'the endpoint {endpoint} is a URL; give it as "host:port" or "dns:///host:port", and for TLS set '
            "SEAMLINE_TLS_CA",
            field="endpoint",
        )
    metadata = authorization(token, endpoint, encrypted=bool(tls.ca)) if token else ()
    return RenewingChannel(partial(_connect, endpoint, name), tls.channel_credentials(), metadata)


def _connect(endpoint: str, name: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    options = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A replica that comes back is found within seconds, not minutes, and so is one that joins a name.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        # Its connections are its own: a new channel does not wait because an earlier one could not connect.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        return grpc.aio.insecure_channel(endpoint, options=options)
    if name:
        options.append(("grpc.ssl_target_name_override", name))
    return grpc.aio.secure_channel(endpoint, credentials, options=options)
