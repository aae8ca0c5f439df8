"""The view `interfaces` against rtnetlink's links and addresses, and /proc/net/dev, of every namespace."""

from truth_values import networks_of

FLAGS = [
    "UP", "BROADCAST", "DEBUG", "LOOPBACK", "POINTOPOINT", "NOTRAILERS", "RUNNING", "NOARP", "PROMISC", "ALLMULTI",
    "MASTER", "SLAVE", "MULTICAST", "PORTSEL", "AUTOMEDIA", "DYNAMIC", "LOWER_UP", "DORMANT", "ECHO",
]  # fmt: skip
TYPES = {1: "ether", 772: "loopback", 65534: "none", 768: "ipip", 769: "tunnel6", 776: "sit", 778: "gre"}
OPERSTATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"]
# Counters go on between the guest's word and the pause: neighbour discovery, ARP, TCP's repetitions.
MORE_PACKETS = 50
LARGEST_PACKET = 65536 + 64  # unsegmented, with its headers
# Drivers whose counters stand in types of modules, which kernels before 5.11 do not keep.
MODULE_COUNTERS = {"veth_get_stats64", "virtnet_stats"}


def compare(truth, rows):
    """Returns the differences, a sentence each.

    Exact, but for the counters: they may have gone on since, by MORE_PACKETS of at most LARGEST_PACKET;
    and they may be missing where the row names a driver of MODULE_COUNTERS and the kernel has no BTF of modules.
    Texts have one character a byte (latin-1), in `truth` and in `rows`.
    """
    differences = [f"a doubtful row on a paused guest: {row}" for row in rows if row.get("doubt")]
    no_module_types = truth["files"]["/proc/sys/kernel/osrelease"].startswith("5.10.")
    seen = {}
    for row in rows:
        key = (str(row["netns"]), row["ifindex"])
        if key in seen:
            differences.append(f"listed twice: {key}")
        seen[key] = row
    named = set()
    for netns, network in networks_of(truth, rows).items():
        if "links" not in network:
            continue
        names = {link["index"]: link["name"] for link in network["links"]}
        counters = dev_counters(network["files"]["dev"])
        for link in network["links"]:
            where = f"{netns} {link['name']}"
            named.add((netns, link["index"]))
            row = seen.get((netns, link["index"]))
            if row is None:
                differences.append(f"{where}: the guest has it, we have not")
                continue
            addresses = [text_of(a) for a in network["addresses"] if a["index"] == link["index"]]
            differences += compare_link(where, link, names, addresses, row, no_module_types)
            differences += compare_counters(where, counters[link["name"]], row, no_module_types)
    differences += [f"we have {key}, the guest has not" for key in set(seen) - named]
    return differences


def text_of(address):
    local = address.get("local", address["address"])
    peer = f" peer {address['address']}" if address["address"] != local else ""
    return f"{local}{peer}/{address['prefix']}"


def compare_link(where, link, names, addresses, row, no_module_types):
    flags = [name for bit, name in enumerate(FLAGS) if link["flags"] >> bit & 1]
    wanted = {
        "name": link["name"],
        "type": TYPES.get(link["type"], str(link["type"])),
        "flags": flags,
        "promiscuity": link["promiscuity"],
        "promiscuous": link["promiscuity"] > 0,
        "mtu": link["mtu"],
        "mac": ":".join(link["mac"][i : i + 2] for i in range(0, len(link["mac"]), 2)) if "mac" in link else None,
        "addresses": addresses,
        "operstate": OPERSTATES[link["operstate"]],
        "kind": link.get("kind"),
        "master": names.get(link.get("master")),
        "link": link.get("link"),
    }
    if no_module_types and row["counters"] in MODULE_COUNTERS:
        del wanted["link"]
    return [
        f"{where}: {column} is {row[column]!r}, the guest has {value!r}"
        for column, value in wanted.items()
        if row[column] != value
    ]


def dev_counters(text):
    counters = {}
    for line in text.splitlines()[2:]:
        name, numbers = line.rsplit(":", 1)
        words = [int(word) for word in numbers.split()]
        counters[name.strip()] = {
            "rx_bytes": words[0], "rx_packets": words[1], "tx_bytes": words[8], "tx_packets": words[9],
        }  # fmt: skip
    return counters


def compare_counters(where, wanted, row, no_module_types):
    differences = []
    for column, value in wanted.items():
        if row[column] is None:
            if not (no_module_types and row["counters"] in MODULE_COUNTERS):
                differences.append(f"{where}: {column} is missing ({row['counters']}), the guest has {value}")
            continue
        packets = column.replace("bytes", "packets")
        more = row[packets] - wanted[packets]
        most = more if column == packets else more * LARGEST_PACKET
        if not 0 <= more <= MORE_PACKETS or not value <= row[column] <= value + most:
            differences.append(f"{where}: {column} is {row[column]} ({row['counters']}), the guest had {value}")
    return differences
