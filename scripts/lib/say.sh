# shellcheck shell=bash
# What every script says and how it fails. Sourced, never run.

# Colour only on a terminal, and not where NO_COLOR asks for none (https://no-color.org).
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' faint=$'\e[2m' plain=$'\e[0m'
else
    bold='' green='' red='' faint='' plain=''
fi

# say SENTENCE: one step of the script.
say() {
    printf '%s==>%s %s\n' "$bold$green" "$plain" "$*"
}

# note SENTENCE: something worth knowing about the step.
note() {
    printf '    %s%s%s\n' "$faint" "$*" "$plain"
}

# fail SENTENCE: the end, with the reason.
fail() {
    printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
    exit 1
}

# as_root COMMAND...: runs it as root, by sudo where that is needed.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root to run '$*': become root, or install sudo"
    fi
}
