//! The commands of the operator's guide that the tests do not run, and why.

/// Reasons that many commands share.
const SERVICE: &str = "needs systemd; tests/service and tests/package have what can be without";
const RUNNING: &str = "needs a running dns64d where the packages have it; tests/control asks it";
const CARD: &str = "changes or reads a network card of the machine, which tests leave alone";
const PACKAGE: &str = "changes the machine; tests/package/install does it in a clean Debian";
const CONTAINERS: &str = "needs podman and images of others; tests/package compares the files";
const CLUSTER: &str = "needs a cluster; tests/package compares the manifest";
const EXAMPLE: &str = "the address is an example";

/// Commands and reasons.
pub(crate) const NOT_RUN: &[(&str, &str)] = &[
    ("dig @2001:db8::64 ipv4only.arpa AAAA +short", EXAMPLE),
    ("dig @2001:db8::64 NAME-WITH-IPV4-ONLY AAAA +short", EXAMPLE),
    ("dns64ctl reload --diff", RUNNING),
    ("dns64ctl reload", RUNNING),
    ("dns64ctl status", RUNNING),
    ("dns64ctl stats", RUNNING),
    ("systemctl status dns64d", SERVICE),
    ("systemctl enable --now dns64d", SERVICE),
    ("journalctl -u dns64d -b -p warning", SERVICE),
    ("apt install ./dns64d_0.1.0-1_amd64.deb", PACKAGE),
    ("apt install ./dns64d_0.2.0-1_amd64.deb", PACKAGE),
    ("apt install --allow-downgrades ./dns64d_0.1.0-1_amd64.deb", PACKAGE),
    ("dnf install ./dns64d-0.1.0-1.x86_64.rpm", "needs another system; its content is tested"),
    ("dpkg-deb --extract dns64d_0.2.0-1_amd64.deb new", PACKAGE),
    ("new/usr/sbin/dns64d check --config /etc/dns64d/dns64d.toml", PACKAGE),
    ("userspace/packaging/build", "takes minutes; tests/package/install runs it on debug programs"),
    ("podman build -f userspace/packaging/Containerfile -t dns64d .", CONTAINERS),
    (
        "podman run --rm -p 5364:53/udp -p 5364:53/tcp -v ./dns64d.toml:/etc/dns64d/dns64d.toml:ro dns64d",
        CONTAINERS,
    ),
    (
        "podman run --rm --network host --cap-add NET_ADMIN,NET_RAW,BPF,PERFMON --ulimit memlock=-1 --entrypoint /usr/sbin/dns64d-xdp dns64d --config /etc/dns64d/dns64d.toml",
        CONTAINERS,
    ),
    ("kubectl label node NODE dns64d=yes", CLUSTER),
    ("kubectl apply -f kubernetes.yaml", CLUSTER),
    ("kubectl -n dns64d rollout restart daemonset/dns64d", CLUSTER),
    ("ethtool -l eth0", CARD),
    ("ethtool -L eth0 combined 8", CARD),
    ("ethtool -x eth0", CARD),
    ("ethtool -N eth0 rx-flow-hash udp6 sdfn", CARD),
    ("ethtool -G eth0 rx 4096", CARD),
    ("ethtool -K eth0 lro off", CARD),
    ("ethtool -K eth0 rxvlan off", CARD),
    ("ethtool -S eth0", CARD),
    ("grep eth0 /proc/interrupts", CARD),
    ("echo 2 > /proc/irq/45/smp_affinity_list", CARD),
    ("bpftool net", CARD),
    ("nstat -az UdpRcvbufErrors Udp6RcvbufErrors", "prints what the machine has counted"),
];
