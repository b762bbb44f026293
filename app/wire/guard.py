"""Which IP addresses an outbound call may reach. The address is checked when the socket is made: a
check before that would miss a name that resolves to another address the next time (DNS rebinding).
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

SPECIAL_BLOCKS = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # CGNAT: not `is_private` to Python
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b::/96",  # NAT64: `is_global` to Python
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo, ORCHID and their like
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


def is_permitted(address: str, allowed_networks: Sequence[Network]) -> bool:
    """Whether `address` is public or in one of `allowed_networks`."""
    ip = _unwrap_mapped_ipv4(ip_address(address.split("%", 1)[0]))
    if any(ip in network for network in allowed_networks if network.version == ip.version):
        return True
    return (
        ip.is_global
        and not ip.is_multicast
        and not any(ip in block for block in SPECIAL_BLOCKS if block.version == ip.version)
    )


def _unwrap_mapped_ipv4(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address in an IPv4-mapped IPv6 address; any other as it is."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
