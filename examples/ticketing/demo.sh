#!/usr/bin/env bash
# Plays the ticketing story on the embedded store, in a folder of its own that is removed at the
# end. Run by `make demo`; needs `gristmill` in PATH and the guests in $GUESTS.
set -Eeuo pipefail

example=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guests=${GUESTS:?folder of the built guests}
scene=$(mktemp -d)
host=
party=

finish() {
    if [[ -n $host ]]; then
        kill "$host" 2>/dev/null || true
        wait "$host" 2>/dev/null || true
    fi
    if [[ -n $party ]]; then
        kill "$party" 2>/dev/null || true
        wait "$party" 2>/dev/null || true
    fi
    rm -rf "$scene"
}
trap finish EXIT

bold='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

act=0
act() { act=$((act + 1)); printf '\n%s%d. %s%s\n' "$bold" "$act" "$1" "$plain"; }
say() { printf '   %s\n' "$@"; }
show() { printf '   $ %s\n' "$*"; "$@" | sed 's/^/     /'; }

# A rehearsal in which something would fail says so by exit code 1; here that is part of the story.
rehearse() {
    local code=0
    show gristmill dlq redrive catalog --dry-run || code=$?
    ((code <= 1))
}

start() {
    rm -f "$scene/.gristmill/address"
    gristmill run --config "$scene/gristmill.toml" >>"$scene/host.log" 2>&1 &
    host=$!
    await 'the host' gristmill health --url "$(address)"
}

# The host writes where it listens once it does.
address() {
    await 'the address' test -s "$scene/.gristmill/address" >&2
    cat "$scene/.gristmill/address"
}

# await WHAT COMMAND...: until the command succeeds, at most 30 seconds.
await() {
    local what=$1 deadline=$((SECONDS + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "demo: waited 30 s for $what" >&2
            tail -n 20 "$scene/host.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# has TOPIC TEXT: whether an event of the topic contains the text.
has() { gristmill consume "$1" --json | grep -q -- "$2"; }

# publish TOPIC KEY PAYLOAD
publish() { gristmill produce "$1" --key "$2" <<<"$3" >/dev/null; }

# replay TOPIC: publishes the recorded input, whose lines are {"key": …, "payload": …}.
replay() {
    local line key payload
    while IFS= read -r line; do
        key=${line#'{"key": "'}
        payload=${line#*'"payload": '}
        publish "$1" "${key%%\"*}" "${payload%\}}"
    done <"$example/events/$1.jsonl"
}

reservation() { # reservation ID SEAT CUSTOMER SECONDS-TO-LIVE EVENT-ID
    printf '{"eventId":"%s","reservationId":"%s",' "$5" "$1"
    printf '"customerId":"%s","seatId":"%s",' "$3" "$2"
    printf '"seatNumber":"A-1-1","section":"A","basePrice":80,"createdAt":"%s","expiresAt":"%s"}' \
        "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(date -u -d "+$4 seconds" +%Y-%m-%dT%H:%M:%SZ)"
}

cp "$example/gristmill.toml" "$scene/"
cp -r "$example/plugins" "$scene/plugins"
for plugin in ordering carts catalog expiry order-saga order-steps; do
    cp "$guests/$plugin.wasm" "$scene/plugins/"
done
export GRISTMILL_LISTEN=127.0.0.1:0

# A payment provider, which declines stolen cards.
"$example/../party.py" --port 0 --rules "$example/party.json" >"$scene/party" &
party=$!
await 'the payment provider' test -s "$scene/party"
TICKETING_PROVIDER=$(<"$scene/party")
export TICKETING_PROVIDER

act 'A host starts with six plugins; topics and state live in its own store'
start
GRISTMILL_URL=$(address)
export GRISTMILL_URL
show gristmill plugins list

act 'Seat s1 is reserved: ordering tells the cart, and expiry sets a durable timer'
publish reservation-created s1 "$(reservation r1 s1 ada 600 e1)"
await 'the cart' has ordering-carts cart.item-added
show gristmill consume ordering-carts

act 'The same event comes again (a producer that retried): it has no second effect'
publish reservation-created s1 "$(reservation r1 s1 ada 600 e1)"
paid='{"eventId":"e2","reservationId":"r1","orderId":"o1","customerId":"ada","seatId":"s1",'
publish payment-succeeded s1 "$paid"'"amount":80,"paidAt":"2026-01-01T12:00:00Z"}'
await 'the payment' has ordering-carts cart.item-paid
say 'one item-added, then item-paid:'
show gristmill consume ordering-carts

act 'Seat s2 is reserved for two seconds and never paid: its timer fires, once'
publish reservation-created s2 "$(reservation r2 s2 grace 2 e3)"
await 'the expiry' has reservation-expired expired-r2
show gristmill consume reservation-expired

act 'Two orders, each a saga over four participants; the second is paid with a stolen card'
order() { # order ID SEAT METHOD
    printf '{"eventId":"e-%s","orderId":"%s","customerId":"ada","seatId":"%s",' "$1" "$1" "$2"
    printf '"amount":80,"method":"%s"}' "$3"
}
publish order-requested o1 "$(order o1 s7 card)"
publish order-requested o2 "$(order o2 s8 stolen-card)"
await 'the first order' has order-outcomes order.confirmed
await 'the second order' has order-outcomes order.cancelled
say 'what was done for the second one was undone, last first:'
show gristmill saga show order-saga o2

act 'The recorded input is published, the host killed with -9 at once and started again'
replay payment-succeeded
replay reservation-created
kill -9 "$host"
wait "$host" 2>/dev/null || true
start
GRISTMILL_URL=$(address)
six_expired() { [[ $(gristmill consume reservation-expired --json | grep -c expired-) -eq 7 ]]; }
await 'the six expiries of the input' six_expired
say 'of the nine recorded reservations three are paid and six expired, each once; with s2 seven:'
show gristmill consume reservation-expired

act 'One section has a dash, which catalog cannot read: a dead letter; nobody waits for it'
await 'the dead letter' sh -c 'gristmill dlq list catalog --json | grep -q seat-number'
show gristmill dlq list catalog

act 'Would driving it again help? A rehearsal runs the handler and applies nothing'
rehearse

act 'Version 2 of catalog is dropped into the plugin directory of the running host'
before=$(gristmill plugins list --json)
cp "$guests/catalog-v2.wasm" "$scene/plugins/.catalog.wasm.part"
mv "$scene/plugins/.catalog.wasm.part" "$scene/plugins/catalog.wasm"
swapped() { [[ $(gristmill plugins list --json) != "$before" ]]; }
await 'the new version' swapped
show gristmill plugins history catalog
rehearse

act 'Now it is driven again, through the version that can read it'
show gristmill dlq redrive catalog --yes
nothing_left() { gristmill dlq list catalog --json | grep -qv seat-number; }
await 'the dead letter to be handled' nothing_left
caught_up() { ! gristmill subscriptions list --json | grep -q '"events": *[1-9]'; }
await 'every subscription to catch up' caught_up
show gristmill dlq list
show gristmill subscriptions list

act 'The host is told to stop: what runs finishes, everything is committed'
kill -TERM "$host"
wait "$host"
host=
say 'it ended with exit code 0.'

printf '\n%sWhat to try next%s\n' "$bold" "$plain"
say 'gristmill init shop && cd shop && gristmill run      a host of your own' \
    'gristmill plugin new greeter                         a handler in twenty lines, and its test' \
    'examples/ticketing/README.md                         how this example is built' \
    'make chaos                                           the same promises under 200 kills'
