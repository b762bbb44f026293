"""Which addresses an outbound call may reach: the table, and the allow-list over it."""

from ipaddress import ip_network

import pytest

from app.wire.guard import is_permitted

PUBLIC = ["8.8.8.8", "151.101.1.6", "100.63.255.255", "100.128.0.0", "2606:4700::1111"]
NOT_PUBLIC = [
    ("this host", "0.0.0.0"),
    ("this network", "0.1.2.3"),
    ("private 10/8", "10.0.0.1"),
    ("private 172.16/12", "172.31.255.254"),
    ("private 192.168/16", "192.168.1.1"),
    ("CGNAT", "100.64.0.1"),
    ("CGNAT, last", "100.127.255.255"),
    ("loopback", "127.0.0.1"),
    ("loopback, another", "127.255.0.1"),
    ("link-local, cloud metadata", "169.254.169.254"),
    ("protocol assignments", "192.0.0.8"),
    ("documentation 1", "192.0.2.1"),
    ("documentation 2", "198.51.100.7"),
    ("documentation 3", "203.0.113.9"),
    ("6to4 relay", "192.88.99.1"),
    ("benchmarking", "198.19.0.1"),
    ("multicast", "224.0.0.1"),
    ("multicast, global scope", "233.252.0.1"),
    ("reserved", "240.0.0.1"),
    ("broadcast", "255.255.255.255"),
    ("IPv6 unspecified", "::"),
    ("IPv6 loopback", "::1"),
    ("IPv4-compatible", "::127.0.0.1"),
    ("mapped loopback", "::ffff:127.0.0.1"),
    ("mapped private", "::ffff:10.0.0.1"),
    ("mapped CGNAT", "::ffff:100.64.0.1"),
    ("mapped metadata, in hex", "::ffff:a9fe:a9fe"),
    ("NAT64 of loopback", "64:ff9b::7f00:1"),
    ("NAT64 of a public address", "64:ff9b::808:808"),
    ("NAT64, local use", "64:ff9b:1::1"),
    ("discard only", "100::1"),
    ("Teredo", "2001:0:53aa:64c::1"),
    ("ORCHID", "2001:20::1"),
    ("IPv6 documentation", "2001:db8::1"),
    ("IPv6 documentation, new", "3fff::1"),
    ("6to4 of loopback", "2002:7f00:1::1"),
    ("segment routing", "5f00::1"),
    ("unique local", "fd00:ec2::254"),
    ("link-local IPv6", "fe80::1"),
    ("link-local with a zone", "fe80::1%eth0"),
    ("site-local", "fec0::1"),
    ("IPv6 multicast", "ff02::1"),
    ("IPv6 multicast, global scope", "ff0e::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert is_permitted(address, ())


@pytest.mark.parametrize(("label", "address"), NOT_PUBLIC)
def test_no_other_address_may_be_reached(label: str, address: str) -> None:
    assert not is_permitted(address, ()), label


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::5"])
def test_a_private_network_may_be_reached_when_it_is_allowed(address: str) -> None:
    assert is_permitted(address, (ip_network("10.1.0.0/16"), ip_network("fd00::/64")))


@pytest.mark.parametrize("address", ["10.2.0.1", "127.0.0.1", "::1", "64:ff9b::a01:203"])
def test_an_allowed_network_allows_no_other(address: str) -> None:
    assert not is_permitted(address, (ip_network("10.1.0.0/16"),))
