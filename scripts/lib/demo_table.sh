# shellcheck shell=bash
# The demo's table: who answered, beside what the gateway counted. Sourced by scripts/demo.

# shellcheck disable=SC2154  # these come from say.sh and demo_network.sh

gateway_counters() {
    "$programs/sluicectl" --socket "$socket" --json services
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

# print_table REQUESTS: fails when a request was not answered, or not counted.
print_table() {
    local wanted=$1 method number answers counted cells total good=0
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
        [ "$total" -eq "$wanted" ] || good=1
        printf '  %-8s %-11s%s   %-9s %s\n' \
            "$method" "$(vip_of "$method")" "$cells" "$total of $wanted" "$(seen_by "$method")"
    done
    printf '\n'
    return "$good"
}
