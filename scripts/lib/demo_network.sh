# shellcheck shell=bash
# The demo's hosts and networks. Sourced by scripts/demo and scripts/test-package, never run.
#
# The same picture as the tests' (tests/testnet/src/lab.rs): whoever knows one knows the other.

# shellcheck disable=SC2154  # colours and say come from say.sh
prefix=${prefix:-sluice-demo} # of all namespaces
state=/run/$prefix
socket=$state/sluice.sock
programs=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")/release
methods=(nat dr tun fullnat)
servers=(1 2 3)

# The VIP whose service forwards by the method.
vip_of() {
    case $1 in
    nat) echo 10.1.0.101 ;;
    dr) echo 10.1.0.102 ;;
    tun) echo 10.1.0.103 ;;
    fullnat) echo 10.1.0.104 ;;
    esac
}

# inside HOST COMMAND...
inside() {
    local host=$1
    shift
    ip netns exec "$prefix-$host" "$@"
}

# inside_in_background HOST LOG COMMAND...: outlives this script and its terminal. Its process is
# then $!.
inside_in_background() {
    local host=$1 log=$2
    shift 2
    setsid ip netns exec "$prefix-$host" "$@" </dev/null >"$log" 2>&1 9>&- &
    # So that the shell does not report its end.
    disown $!
}

# make_host HOST: a namespace without IPv6 and with nothing that drops asymmetric routes.
make_host() {
    ip netns add "$prefix-$1"
    ip -n "$prefix-$1" link set lo up
    inside "$1" sysctl -q -w \
        net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 \
        net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
}

# let_forward HOST: a router, which leaves it to hosts to find a shorter way.
let_forward() {
    inside "$1" sysctl -q -w net.ipv4.ip_forward=1 \
        net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
}

# lay_cable HOST INTERFACE SWITCH
lay_cable() {
    local far_end=$1.$2
    far_end=${far_end:0:15}
    ip -n "$prefix-network" link add "$far_end" type veth peer name "$2" netns "$prefix-$1"
    ip -n "$prefix-network" link set "$far_end" master "$3" up
    ip -n "$prefix-$1" link set "$2" up
    # A veth leaves checksums to hardware that is not there; the gateway would receive, and
    # forward, wrong ones.
    inside network ethtool -K "$far_end" tx off >/dev/null
    inside "$1" ethtool -K "$2" tx off >/dev/null
}

# The two switches, and the router between them: in one namespace, as bridges with an address.
make_network() {
    local switch
    make_host network
    let_forward network
    for switch in clients servers; do
        ip -n "$prefix-network" link add "$switch" type bridge forward_delay 0
        ip -n "$prefix-network" link set "$switch" up
    done
    ip -n "$prefix-network" addr add 10.1.0.254/24 dev clients
    ip -n "$prefix-network" addr add 10.2.0.254/24 dev servers
}

make_client() {
    make_host client
    lay_cable client eth0 clients
    ip -n "$prefix-client" addr add 10.1.0.2/24 dev eth0
}

# The gateway's interfaces get no address: its twins carry them.
make_gateway() {
    make_host gateway
    let_forward gateway
    lay_cable gateway clients clients
    lay_cable gateway servers servers
}

# make_server NUMBER: a real server with what each forwarding method asks of it.
make_server() {
    local host=server-$1 vip
    make_host "$host"
    # DR and TUN: a server that answers ARP for a VIP would take it away from the gateway.
    inside "$host" sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
    lay_cable "$host" eth0 servers
    ip -n "$prefix-$host" addr add "10.2.0.1$1/24" dev eth0
    # NAT: answers go back through the gateway.
    ip -n "$prefix-$host" route add default via 10.2.0.1
    # DR and TUN: the VIP is the server's own address too, and answers from it go to the client
    # by the router.
    ip -n "$prefix-$host" route add default via 10.2.0.254 table 100
    for vip in "$(vip_of dr)" "$(vip_of tun)"; do
        ip -n "$prefix-$host" addr add "$vip/32" dev lo
        ip -n "$prefix-$host" rule add from "$vip" lookup 100
    done
    # TUN: takes the outer header off. Where the kernel has its ipip module, that does it.
    inside_in_background "$host" "$state/$host.decap.log" "$programs/ipip-decap" "$(vip_of tun)"
    # FULLNAT asks for nothing.
    start_nginx "$host"
}

# start_nginx HOST: a page that says who answered and whom it saw.
start_nginx() {
    local dir=$state/$1 tries=0
    mkdir "$dir"
    cat >"$dir/nginx.conf" <<NGINX
daemon off; master_process off; user root; pid $dir/pid; error_log $dir/error.log warn;
events { }
http {
  access_log off; default_type text/plain;
  client_body_temp_path $dir/1; proxy_temp_path $dir/2; fastcgi_temp_path $dir/3;
  uwsgi_temp_path $dir/4; scgi_temp_path $dir/5;
  server { listen 80; location / { return 200 "$1 saw \$remote_addr\n"; } }
}
NGINX
    inside_in_background "$1" "$dir/output" nginx -e "$dir/error.log" -p "$dir" -c "$dir/nginx.conf"
    until inside "$1" curl --silent --output /dev/null http://127.0.0.1/; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || fail "nginx does not start on $1: $(cat "$dir/error.log")"
        sleep 0.1
    done
}

build_network() {
    local number
    make_network
    make_client
    make_gateway
    for number in "${servers[@]}"; do
        make_server "$number"
    done
}

# The configuration an operator would write, but for the virtual devices.
write_gateway_configuration() {
    local method number
    cat <<TOML
[gateway]
workers = 1
huge_pages = false      # ordinary memory does for a demo
memory_mb = 256
sessions_per_worker = 65536
file_prefix = "$prefix"
socket = "$socket"
state_dir = "$state/journal"

[[port]]
name = "clients"
device = "net_af_packet0,iface=clients,framecnt=4096"
twin = { name = "tw-clients", persist = false }
addresses = ["10.1.0.1/24"]

[[port]]
name = "servers"
device = "net_af_packet1,iface=servers,framecnt=4096"
twin = { name = "tw-servers", persist = false }
addresses = ["10.2.0.1/24"]

[[local_pool]]          # FULLNAT speaks to the servers from here
name = "local"
addresses = ["10.2.0.200"]
TOML
    for method in "${methods[@]}"; do
        printf '\n[[service]]\nvip = "%s"\nport = 80\nprotocol = "tcp"\nscheduler = "rr"\n' \
            "$(vip_of "$method")"
        [ "$method" != fullnat ] || printf 'local_pool = "local"\n'
        for number in "${servers[@]}"; do
            printf '\n[[service.server]]\naddress = "10.2.0.1%s"\nport = 80\nmethod = "%s"\n' \
                "$number" "$method"
        done
    done
}

hosts() {
    ip netns list | awk -v start="$prefix-" 'index($1, start) == 1 { print $1 }'
}

is_up() {
    [ -d "$state" ] || [ -n "$(hosts)" ]
}

# Refuses to start beside another with the same prefix, before anything of that one could be taken down.
# The lock is this process's, on descriptor 9: what goes on after it does not inherit that.
be_the_only_one() {
    mkdir -p /run/lock
    exec 9>"/run/lock/$prefix"
    flock --nonblock 9 || fail "this is running already: let it end first"
    if [ -e "$state/kept" ]; then
        fail "a demo is already up: stop it with scripts/demo --stop"
    fi
}

# Takes the place of whoever was here before. What one that was killed left behind is taken down first.
claim() {
    if is_up; then
        note "an earlier one was killed; taking down what it left"
        take_down
    fi
    mkdir "$state"
}

# Ends the gateway as an operator would, then everything else, then the hosts and the files.
take_down() {
    local host pid pids tries
    for pid in $(ip netns pids "$prefix-gateway" 2>/dev/null); do
        kill -TERM "$pid" 2>/dev/null || true
    done
    for tries in $(seq 30); do
        pids=$(ip netns pids "$prefix-gateway" 2>/dev/null || true)
        [ -n "$pids" ] || break
        [ "$tries" -lt 30 ] || note "the gateway did not stop within three seconds and is killed"
        sleep 0.1
    done
    for host in $(hosts); do
        for pid in $(ip netns pids "$host"); do
            kill -KILL "$pid" 2>/dev/null || true
        done
    done
    for host in $(hosts); do
        for tries in $(seq 20); do
            [ -n "$(ip netns pids "$host")" ] || break
            sleep 0.05
        done
        ip netns del "$host" || true
    done
    rm -rf "$state"
}

# Says what is still there after taking down; success when nothing is.
leftovers() {
    local left=0
    if [ -n "$(hosts)" ]; then
        note "still there: $(hosts | tr '\n' ' ')"
        left=1
    fi
    if [ -e "$state" ]; then
        note "still there: $state"
        left=1
    fi
    local program found
    for program in sluice ipip-decap; do
        found=$(pgrep --full --exact "$programs/$program .*($state|$(vip_of tun)).*" || true)
        if [ -n "$found" ]; then
            note "still running: $program, process $found"
            left=1
        fi
    done
    [ "$left" -ne 0 ] || say "Nothing is left behind"
    return "$left"
}
