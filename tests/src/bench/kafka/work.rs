//! Owns the work of every runner: the events that go in, and how one that comes out is told by
//! what went in. Every event carries its number inside its id, so nothing has to be remembered.

/// Ends of the names of the two source topics: seats are reserved, and paid.
pub const TOPICS: [&str; 2] = ["reservation-created", "payment-succeeded"];
/// End of the name of the topic that everything is emitted to.
pub const OUTPUT: &str = "seat-changes";
/// Partitions of each of them.
pub const PARTITIONS: i32 = 8;
/// Seats, which are the keys.
const SEATS: u64 = 20_000;
/// One event of so many comes twice.
const REPEATED: u64 = 1_000;
/// So many events lie between the first and the second.
const DISTANCE: u64 = 500;

/// An event that goes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its topic, as a place in [`TOPICS`].
    pub topic: usize,
    /// The seat without dashes.
    pub key: String,
    /// JSON without an envelope, 300 to 380 bytes.
    pub payload: String,
}

/// Event `number` of the ticketing example: a reservation where it is even, else a payment.
pub fn ticket(number: u64) -> Input {
    let seat_number = number.wrapping_mul(2_654_435_761) % SEATS;
    let seat = id(2, seat_number);
    let (event, reservation) = (id(1, number), id(3, number / 2));
    let customer = id(4, number % 5_000);
    let start = format!(
        r#"{{"eventId":"{event}","reservationId":"{reservation}","customerId":"{customer}""#
    );
    let section = format!("Balcony-Left-{}", seat_number % 7);
    let (row, place, price) = (seat_number / 100, seat_number % 100, 20 + seat_number % 60);
    let payload = if number.is_multiple_of(2) {
        let (at, until) = ("2026-01-01T12:00:00Z", "2026-01-01T12:10:00Z");
        let seat = format!(
            r#""seatId":"{seat}","seatNumber":"{section}-{row}-{place}","section":"{section}""#
        );
        let offer = format!(r#""basePrice":{price}.5,"createdAt":"{at}","expiresAt":"{until}""#);
        format!(r#"{start},{seat},{offer},"status":"active"}}"#)
    } else {
        let (order, at) = (id(5, number / 2), "2026-01-01T12:04:00Z");
        format!(
            r#"{start},"orderId":"{order}","seatId":"{seat}","amount":{price}.5,"paidAt":"{at}"}}"#
        )
    };
    let topic = usize::from(!number.is_multiple_of(2));
    Input { topic, key: seat.replace('-', ""), payload }
}

/// Event `number` of those that are waited for: one of 1,000 keys, 0 to 5 ms.
pub fn wait(number: u64) -> Input {
    let (key, millis) = (number % 1_000, mixed(number) % 6);
    let payload = format!(r#"{{"eventId":"{}","waitMs":{millis}}}"#, id(1, number));
    Input { topic: 0, key: format!("key-{key}"), payload }
}

/// Which event follows `number` in the input besides the next: one that was there before.
pub fn repeated_after(number: u64) -> Option<u64> {
    let before = number.checked_sub(DISTANCE)?;
    (before % REPEATED == REPEATED / 2).then_some(before)
}

/// How often event `number` of `events` is in the input.
pub fn copies(number: u64, events: u64) -> u16 {
    let is_repeated = number % REPEATED == REPEATED / 2 && number + DISTANCE < events;
    if is_repeated { 2 } else { 1 }
}

/// The number of the event that an emission is about.
pub fn number_of(payload: &[u8]) -> Option<u64> {
    const FIELD: &str = r#""eventId":""#;
    let text = std::str::from_utf8(payload).ok()?;
    let value = text.get(text.find(FIELD)? + FIELD.len()..)?.get(..36)?;
    u64::from_str_radix(value.get(24..)?, 16).ok()
}

/// A UUID of thing `number` of a kind, whose first half looks random, as a store would have it.
fn id(kind: u64, number: u64) -> String {
    let mixed = mixed(number ^ (kind << 56));
    let (first, second) = (mixed >> 32, (mixed >> 16) & 0xffff);
    let (third, fourth) = (mixed & 0xfff, (mixed >> 12) & 0xfff);
    format!("{first:08x}-{second:04x}-5{third:03x}-8{fourth:03x}-{number:012x}")
}

/// The finaliser of `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn tickets_are_json_of_their_size_and_carry_their_number() {
        for (number, field, sizes) in [(0, "basePrice", 370..380), (7, "amount", 300..310)] {
            let input = ticket(number);
            let value: Value = serde_json::from_str(&input.payload).unwrap();
            assert!(value[field].is_number(), "{value}");
            assert!(sizes.contains(&input.payload.len()), "{} bytes", input.payload.len());
            assert_eq!(number_of(input.payload.as_bytes()), Some(number));
            assert_eq!(input.key, value["seatId"].as_str().unwrap().replace('-', ""));
        }
        assert_eq!(number_of(b"{}"), None);
        assert_eq!(number_of(br#"{"eventId":"short"}"#), None);
    }

    #[test]
    fn ids_differ() {
        let ids: BTreeSet<_> = (0..10_000).map(|number| id(1, number)).collect();
        assert_eq!(ids.len(), 10_000);
        assert_ne!(id(1, 1), id(2, 1));
    }

    #[test]
    fn waits_are_two_and_a_half_milliseconds_on_average() {
        let of = |number| -> u64 {
            let value: Value = serde_json::from_str(&wait(number).payload).unwrap();
            value["waitMs"].as_u64().unwrap()
        };
        let sum: u64 = (0..10_000).map(of).sum();
        assert!((24_000..26_000).contains(&sum), "{sum} ms");
    }

    #[test]
    fn what_is_repeated_is_counted_twice() {
        for events in [1, 501, 1_000, 1_001, 5_000] {
            let written = |number| 1 + u64::from(repeated_after(number).is_some());
            let counted: u64 = (0..events).map(|number| u64::from(copies(number, events))).sum();
            assert_eq!((0..events).map(written).sum::<u64>(), counted, "{events}");
        }
        assert_eq!(repeated_after(1_000), Some(500));
    }
}
