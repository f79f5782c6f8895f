//! What of Linux's routing and of IPVS a scenario may use on the gateway's side, and what makes
//! it mean something else there than in the kernel.

/// Why a route, as `ip route` takes it, is not comparable.
pub(super) fn of_route(words: &str) -> Option<String> {
    let several = words.split_whitespace().any(|word| word == "nexthop");
    several.then(|| format!("the kernel chooses among the next hops of `{words}` in its own way"))
}

/// Why a rule, as `ip rule` takes it, is not comparable.
pub(super) fn of_rule(words: &str) -> Option<String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    // One for a mark says that packets with it are for the gateway, which it knows.
    let is_for_mark = words.contains(&"fwmark");
    let shows = matches!(
        words.as_slice(),
        [] | ["show" | "list" | "ls" | "l" | "s", ..]
    );
    let reason = || format!("routes do not depend on `ip rule {}` here", words.join(" "));
    (!is_for_mark && !shows).then(reason)
}

/// Why a call of `ip` is not comparable.
pub(super) fn of_ip(arguments: &[String]) -> Option<String> {
    let whole = || format!("`ip {}`", arguments.join(" "));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = words.iter().take_while(|word| word.starts_with('-'));
    let options: Vec<&str> = options.copied().collect();
    let harmless = [
        "-4", "-o", "-oneline", "-br", "-brief", "-s", "-d", "-j", "-json", "-p",
    ];
    if !options.iter().all(|option| harmless.contains(option)) {
        return Some(whole());
    }
    match &words[options.len()..] {
        [
            "a" | "addr" | "address" | "n" | "neigh" | "neighbor" | "neighbour",
            ..,
        ] => None,
        ["r" | "ro" | "route", rest @ ..] => of_route(&rest.join(" ")),
        ["ru" | "rule", rest @ ..] => of_rule(&rest.join(" ")),
        ["l" | "link", rest @ ..] => (!is_plain_link(rest)).then(whole),
        _ => Some(whole()),
    }
}

/// Whether `ip link` only shows interfaces, or sets their MTU or state.
fn is_plain_link(words: &[&str]) -> bool {
    match words {
        [] | ["show" | "list" | "ls" | "sh", ..] => true,
        ["set", "dev", _, rest @ ..] | ["set", _, rest @ ..] => {
            let mut rest = rest;
            loop {
                rest = match rest {
                    [] => return true,
                    ["up" | "down", more @ ..] | ["mtu", _, more @ ..] => more,
                    _ => return false,
                };
            }
        }
        _ => false,
    }
}

/// Why a call of `ipvsadm` is not comparable: it asks for what the gateway does not have yet.
pub(super) fn of_ipvsadm(arguments: &[String]) -> Option<String> {
    let mut words = arguments.iter().map(String::as_str);
    let lacking = words.find(|word| {
        let option = word.split('=').next().unwrap_or(word);
        let is_address_of_six = word.starts_with('[') && word.contains(':');
        is_address_of_six
            || matches!(*word, "gue" | "gre" | "-6" | "--ipv6" | "sip")
            || matches!(option, "--start-daemon" | "--stop-daemon" | "--pe")
    });
    lacking.map(|word| format!("`{word}` of ipvsadm is not the gateway's yet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn addresses_routes_neighbours_and_mtus_are_linuxs_to_change() {
        for line in [
            "addr add 10.1.0.101/32 dev eth0",
            "-4 route replace 10.2.0.11 via 10.2.0.12",
            "neigh replace 10.2.0.11 lladdr 02:00:00:00:20:0c dev eth1 nud permanent",
            "link set dev eth1 mtu 1400 up",
            "link set eth1 down",
            "link",
            "rule add fwmark 1 lookup 100",
            "-o link show",
        ] {
            assert_eq!(of_ip(&words(line)), None, "{line}");
        }
    }

    #[test]
    fn what_the_gateway_would_not_follow_is_a_reason() {
        for line in [
            "link add dummy0 type dummy",
            "link set eth0 master br0",
            "link set eth0 address 02:00:00:00:00:77",
            "rule add from 10.1.0.0/24 lookup 100",
            "route add default nexthop via 10.1.0.1 nexthop via 10.1.0.2",
            "tunnel add tun0 mode ipip",
            "-n other addr",
        ] {
            assert!(of_ip(&words(line)).is_some(), "{line}");
        }
    }

    #[test]
    fn what_comes_later_is_known_by_its_words() {
        for (line, is_lacking) in [
            ("-A -t 10.1.0.100:80 -s rr", false),
            (
                "-a -t 10.1.0.100:80 -r 10.2.0.11:80 -i --tun-type ipip",
                false,
            ),
            (
                "-a -t 10.1.0.100:80 -r 10.2.0.11:80 -i --tun-type gue --tun-port 6080",
                true,
            ),
            ("-A -t [2001:db8::1]:80 -s rr", true),
            ("-A -u 10.1.0.100:5060 -p 60 --pe sip", true),
            ("--start-daemon=master", true),
            ("-A -f 1 -6", true),
        ] {
            assert_eq!(of_ipvsadm(&words(line)).is_some(), is_lacking, "{line}");
        }
    }
}
