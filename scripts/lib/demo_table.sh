# shellcheck shell=bash
# The demo's requests, and the table of who answered beside what the gateway counted. Sourced, never run.
# Who sources it has two functions: gateway_counters prints `sluicectl --json services`, and why says
# where to look when something fails.

# shellcheck disable=SC2154  # these come from say.sh and demo_network.sh

requests=30 # to each VIP; a multiple of three, so that turns come out even

# The first packet to a host that nobody spoke to yet may be lost while its MAC is asked for.
warm_up() {
    local method
    for method in "${methods[@]}"; do
        inside client curl --silent --output /dev/null --max-time 2 \
            --retry 5 --retry-all-errors --retry-delay 0 "http://$(vip_of "$method")/" ||
            fail "nobody answers at $(vip_of "$method") ($method); see $(why)"
    done
}

ask() {
    local method
    say "Asking $requests times by each method"
    gateway_counters >"$state/before.json" || fail "sluicectl gets no answer; see $(why)"
    for method in "${methods[@]}"; do
        inside client curl --silent --max-time 5 --header 'Connection: close' \
            "http://$(vip_of "$method")/?[1-$requests]" >"$state/$method.answers" || true
    done
    gateway_counters >"$state/after.json"
}

# answers_of METHOD SERVER: how often the server answered.
answers_of() {
    grep --count "^$2 saw " "$state/$1.answers" || true
}

# counted_in FILE METHOD SERVER: the sessions the gateway gave the server.
counted_in() {
    jq --arg vip "$(vip_of "$2"):80" --arg server "10.2.0.1${3#server-}:80" '
        [.[] | select(.vip == $vip) | .servers[] | select(.address == $server)
        | .traffic.sessions] | add // 0' "$state/$1"
}

# counted_of METHOD SERVER: those of the requests in the table.
counted_of() {
    echo $(($(counted_in after.json "$1" "$2") - $(counted_in before.json "$1" "$2")))
}

# seen_by METHOD: the addresses the servers saw.
seen_by() {
    awk '{ print $3 }' "$state/$1.answers" | sort --unique | paste --serial --delimiters ' '
}

# Fails when a request was not answered, or not counted.
print_table() {
    local method number answers counted cells total good=0
    printf '\n  %sRequests answered by each server, and (in brackets) the sessions the gateway counted%s\n\n' \
        "$bold" "$plain"
    printf '  %-8s %-11s %12s %12s %12s   %-9s %s\n' \
        method VIP server-1 server-2 server-3 answered 'client the servers saw'
    for method in "${methods[@]}"; do
        cells='' total=0
        for number in "${servers[@]}"; do
            answers=$(answers_of "$method" "server-$number")
            counted=$(counted_of "$method" "server-$number")
            cells+=$(printf ' %12s' "$answers ($counted)")
            total=$((total + answers))
            [ "$answers" -eq "$counted" ] && [ "$answers" -gt 0 ] || good=1
        done
        [ "$total" -eq "$requests" ] || good=1
        printf '  %-8s %-11s%s   %-9s %s\n' \
            "$method" "$(vip_of "$method")" "$cells" "$total of $requests" "$(seen_by "$method")"
    done
    printf '\n'
    return "$good"
}
