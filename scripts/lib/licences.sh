# shellcheck shell=bash
# The licences of the crates that are in a program, as they have to lie beside it. Sourced by scripts/package,
# never run.

# crates_of PACKAGE: name, version, licence and sources of each crate in its programs, parted by tabs.
crates_of() {
    local host linked
    host=$(rustc --version --verbose | sed -n 's/^host: //p')
    # Macros make code, but are not in it; nor is what builds and tests ours.
    linked=$(cargo tree --locked --package "$1" --target "$host" --edges normal,no-proc-macro \
        --prefix none --format '{p}' | awk '{ print $1 " " substr($2, 2) }' | sort --unique)
    cargo metadata --locked --format-version 1 --filter-platform "$host" |
        jq --raw-output --arg linked "$linked" '($linked | split("\n")) as $linked | .packages[]
            | select(.source and (.name + " " + .version | IN($linked[])))
            | [.name, .version, .license // "as below", .manifest_path] | @tsv' |
        sort
}

# texts_in FOLDER: the files with licences there, also of code that the crate took over.
texts_in() {
    find "$1" -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'notice*' \
        -o -iname 'copyright*' -o -iname 'unlicense*' \) ! -name '*.rs' ! -path '*/.github/*' \
        -printf '%P\n' | sort
}

# Where a crate has no text: Debian has that of the licence that we take.
is_debians() {
    case $1 in
    Apache-2.0 | 'Apache-2.0 OR MIT' | 'MIT OR Apache-2.0') true ;;
    *) false ;;
    esac
}

# write_licences PACKAGE: what each crate says, and each text once, in an order that stays.
write_licences() {
    local crates name version licence folder texts text sum sums=()
    local -A holders=() first=()
    export LC_ALL=C
    crates=$(crates_of "$1") || crates=''
    [ -n "$crates" ] || fail "the crates of $1 are not known, see above"
    printf 'The programs of this package have in them, besides their own code:\n\n'
    while IFS=$'\t' read -r name version licence folder; do
        folder=${folder%/Cargo.toml}
        texts=$(texts_in "$folder")
        if [ -z "$texts" ]; then
            is_debians "$licence" || fail "$name $version has no text of its licence, $licence"
            licence+=", see /usr/share/common-licenses/Apache-2.0"
        fi
        printf '  %s %s: %s\n' "$name" "$version" "$licence"
        while IFS= read -r text && [ -n "$text" ]; do
            sum=$(sha256sum <"$folder/$text")
            [ -n "${first[$sum]:-}" ] || sums+=("$sum")
            first[$sum]=$folder/$text
            holders[$sum]+="  $name $version, $text"$'\n'
        done <<<"$texts"
    done <<<"$crates"
    for sum in "${sums[@]}"; do
        printf '\n%s\n\n%s\n' "$(printf '%.0s=' {1..80})" "${holders[$sum]}"
        cat "${first[$sum]}"
    done
}
