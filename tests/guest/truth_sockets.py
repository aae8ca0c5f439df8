"""The view `sockets` against /proc/net of every network namespace, and /proc/PID/fd."""

import ipaddress
import re
from collections import Counter

from truth_values import networks_of

STATES = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 6: "TIME_WAIT",
    7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING", 12: "NEW_SYN_RECV",
}  # fmt: skip
TYPES = {1: "stream", 2: "dgram", 3: "raw", 4: "rdm", 5: "seqpacket", 10: "packet"}
NAMES = {("netlink", 0): "route", ("netlink", 9): "audit", ("netlink", 16): "generic", ("packet", 0x0806): "arp"}
NAMES |= {(f, n): name for f in ("ipv4", "ipv6") for n, name in ((1, "icmp"), (6, "tcp"), (17, "udp"), (58, "ipv6-icmp"), (89, "ospf"))}
INET = ("tcp", "udp", "udplite", "raw", "icmp")
PER_OWNER = 1 << 32
SOON = 20 * 100  # ticks of 1/100 s, as /proc/net/tcp counts
# What the actors gave to listen(), by port: no file of /proc tells.
BACKLOGS = {1001: (5, 1), 1002: (5,), 1003: (5,), 1004: (5,), 1005: (5,), 2001: (5,), 3001: (5,), 6001: (3,)}


def compare(truth, rows):
    """Returns the differences, a sentence each.

    `truth` is what `guests/guest truth` printed, `rows` are the view's rows as dictionaries
    of all columns that cost nothing extra; texts have one character a byte (latin-1).

    Exact, but for what moves by itself: a TIME_WAIT socket that was there may have expired, if
    it had less than SOON left of its 60 s; one that was not may have been made. A netlink socket that
    listens to groups may have got messages since.
    """
    differences = []
    by_namespace = {}
    for row in rows:
        by_namespace.setdefault(str(row["netns"]), []).append(row)
        if row["state"] == "LISTEN" and row["protocol"] == "tcp" and row["backlog"] not in BACKLOGS.get(row["local_port"], (row["backlog"],)):
            differences.append(f"backlog of port {row['local_port']} is {row['backlog']}")
        if row.get("doubt"):
            differences.append(f"a doubtful row on a paused guest: {row}")
    networks = networks_of(truth, rows)
    for netns, network in networks.items():
        if "files" not in network or not isinstance(network["files"], dict):
            continue
        differences += compare_network(netns, network, by_namespace.get(netns, []))
    unknown = set(by_namespace) - set(networks)
    if unknown:
        differences.append(f"sockets in network namespaces that the guest did not name: {sorted(unknown)}")
    addresses = Counter(row["address"] for row in rows)
    differences += [f"listed twice: {address}" for address, count in addresses.items() if count > 1]
    differences += compare_owners(truth, rows)
    differences += compare_texts(rows)
    return differences


def compare_network(netns, network, rows):
    differences = []
    for protocol in INET:
        for suffix, family in (("", "ipv4"), ("6", "ipv6")):
            text = network["files"].get(protocol + suffix)
            expected = inet_records(text) if text else []
            seen = [inet_of_row(row) for row in rows if row["protocol"] == protocol and row["family"] == family]
            differences += difference(f"{netns} /proc/net/{protocol}{suffix}", expected, seen)
    for protocol, parse, of_row in (
        ("unix", unix_records, unix_of_row),
        ("packet", packet_records, packet_of_row),
        ("netlink", netlink_records, netlink_of_row),
    ):
        text = network["files"].get(protocol)
        expected = parse(text) if text else []
        seen = [of_row(row) for row in rows if row["protocol"] == protocol]
        if protocol == "netlink":
            expected = with_news(expected, seen)
        differences += difference(f"{netns} /proc/net/{protocol}", expected, seen)
    names = {link["index"]: link["name"] for link in network.get("links", [])}
    for row in rows:
        if row["interface"] != names.get(row["interface_index"]):
            differences.append(f"{netns}: interface {row['interface_index']} is called {row['interface']}")
    return differences


def difference(where, expected, seen):
    missing = Counter(expected) - Counter(seen)
    extra = Counter(seen) - Counter(expected)
    lines = [f"{where}: the guest has, we have not: {r}" for r in missing.elements()]
    lines += [f"{where}: we have, the guest has not: {r}" for r in extra.elements() if "TIME_WAIT" not in r]
    return lines


# --- tcp, udp, udplite, raw, icmp -----------------------------------------------------------


def address(text):
    if len(text) == 8:
        return str(ipaddress.IPv4Address(bytes.fromhex(text)[::-1]))
    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, 32, 8)]
    return ipv6_text(b"".join(words))


def ipv6_text(raw):
    import socket

    return socket.inet_ntop(socket.AF_INET6, raw)


def inet_records(text):
    records = []
    for line in text.splitlines()[1:]:
        words = line.split()
        local, local_port = words[1].split(":")
        remote, remote_port = words[2].split(":")
        tx, rx = (int(n, 16) for n in words[4].split(":"))
        state = STATES.get(int(words[3], 16), words[3])
        inode = int(words[9])
        if state == "TIME_WAIT" and int(words[5].split(":")[1], 16) < SOON:
            continue
        # TCP's lines end in retransmission numbers, the others' in a count of drops.
        drops = int(words[12]) if len(words) == 13 else None
        uid = int(words[7]) if inode else None  # a socket without an owner: 0 or its last one
        records.append(
            (address(local), int(local_port, 16), address(remote), int(remote_port, 16), state, tx, rx, uid, inode, drops)
        )
    return records


def inet_of_row(row):
    state = {"NEW_SYN_RECV": "SYN_RECV"}.get(row["state"], row["state"])
    local_port, remote_port = row["local_port"], row["remote_port"]
    if row["protocol"] == "raw":
        local_port, remote_port = row["protocol_number"], 0
    drops = None if row["protocol"] == "tcp" else row["drops"]
    uid = row["uid"] if row["inode"] else None
    return (
        row["local_address"], local_port, row["remote_address"], remote_port, state,
        row["tx_queue"], row["rx_queue"], uid, row["inode"], drops,
    )  # fmt: skip


# --- unix -----------------------------------------------------------------------------------


def unix_records(text):
    # A name may hold line breaks; a record begins with its number, or with what stands for it while there is no entropy.
    records = []
    for record in re.split(r"\n(?=(?:[0-9a-f]{8,16}|\(____ptrval____\)): )", text)[1:]:
        record = record[:-1] if record.endswith("\n") and record.count(" ") else record
        words = record.split(maxsplit=6)
        match = re.match(r"\S+ \S+ \S+ (\S+) (\S+) (\S+) +(\d+)(?: (.*))?$", record, re.S)
        assert match, (record, words)
        flags, kind, state, inode, name = match.groups()
        records.append((TYPES[int(kind, 16)], int(flags, 16) == 0x10000, int(state, 16), int(inode), name))
    return records


def unix_of_row(row):
    connected = row["state"] == "ESTABLISHED"
    if row["inode"]:
        state = 3 if connected else 1  # SS_CONNECTED, SS_UNCONNECTED
    else:
        state = 2 if connected else 4  # SS_CONNECTING, SS_DISCONNECTING
    name = row["path"]
    if name is not None and name.startswith("@"):
        name = name.replace("\0", "@")
    return (row["type"], row["state"] == "LISTEN", state, row["inode"], name)


# --- packet, netlink ------------------------------------------------------------------------


def packet_records(text):
    records = []
    for line in text.splitlines()[1:]:
        words = line.split()
        records.append(
            (TYPES[int(words[2])], int(words[3], 16), int(words[4]), words[5] == "1", int(words[6]), int(words[7]), int(words[8]))
        )
    return records


def packet_of_row(row):
    return (
        row["type"], row["protocol_number"], row["interface_index"] or 0, row["running"],
        row["rx_queue"], row["uid"], row["inode"],
    )  # fmt: skip


def netlink_records(text):
    records = []
    for line in text.splitlines()[1:]:
        words = line.split()
        protocol, port, groups = int(words[1]), int(words[2]), int(words[3], 16)
        records.append((protocol, port, groups, int(words[4]), int(words[5]), int(words[8]), int(words[9])))
    return records


def with_news(expected, seen):
    """A listener for news of links, routes, devices (protocols 0 and 15) whose queue has grown since: as it is now, if all else is
    the same. Neighbour discovery of the dummies and veths makes such news on its own, between the guest's word and the pause; no
    other socket of netlink may differ."""
    QUEUE = 3
    now = {(*r[:QUEUE], *r[QUEUE + 1 :]): r for r in seen}
    news = []
    for record in expected:
        later = now.get((*record[:QUEUE], *record[QUEUE + 1 :]))
        grown = record[0] in (0, 15) and record[2] != 0 and later is not None and record[QUEUE] < later[QUEUE] <= record[QUEUE] + 32 * 1280
        news.append(later if grown else record)
    return news


def netlink_of_row(row):
    groups = int(row["groups"] or "0", 16) & 0xFFFFFFFF
    return (
        row["protocol_number"], row["port_id"] % PER_OWNER, groups,
        row["rx_queue"], row["tx_queue"], row["drops"], row["inode"],
    )  # fmt: skip


# --- owners, peers, combined columns --------------------------------------------------------


def compare_owners(truth, rows):
    owners = {}
    for pid, process in truth["processes"].items():
        descriptors = process.get("fd")
        if not isinstance(descriptors, dict):
            continue
        for fd, descriptor in descriptors.items():
            link = descriptor.get("link") if isinstance(descriptor, dict) else None
            found = re.fullmatch(r"socket:\[(\d+)\]", link or "")
            if found:
                name = process["comm"].rstrip("\n")
                owners.setdefault(int(found[1]), []).append((int(pid), int(fd), name))
    differences = []
    for row in rows:
        expected = sorted(owners.get(row["inode"], [])) if row["inode"] else []
        texts = [f"{name}[{pid}]:{fd}" for pid, fd, name in expected]
        if texts != (row["owners"] or []):
            differences.append(f"owners of inode {row['inode']} ({row['protocol']}): {row['owners']}, the guest says {texts}")
        first = expected[0] if expected else (None, None, None)
        if (row["pid"], row["fd"], row["process"]) != first:
            differences.append(f"first owner of inode {row['inode']}: {row['process']}, the guest says {first}")
    return differences


def compare_texts(rows):
    """What is told twice must be told alike, and peers must name each other."""
    differences = []
    by_inode = {row["inode"]: row for row in rows if row["protocol"] == "unix" and row["inode"]}
    for row in rows:
        if row["family"] in ("ipv4", "ipv6"):
            for side in ("local", "remote"):
                host = row[f"{side}_address"]
                host = f"[{host}]" if row["family"] == "ipv6" else host
                text = f"{host}:{row[f'{side}_port'] or '*'}"
                if row[side] != text:
                    differences.append(f"{side} is {row[side]}, not {text}")
        name, number = row["protocol_name"], row["protocol_number"]
        if row["protocol"] != "unix" and NAMES.get((row["family"], number), name) != name:
            differences.append(f"{row['protocol']}: {number} is called {name}")
        if row["protocol"] == "unix" and row["type"] == "stream" and row["peer_inode"]:
            peer = by_inode.get(row["peer_inode"])
            if peer is None or (peer["peer_inode"] not in (row["inode"], None, 0)):
                differences.append(f"unix {row['inode']}: its peer {row['peer_inode']} does not name it")
    return differences
