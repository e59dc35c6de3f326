//! Shows consumer groups as tables.

use serde_json::Value;

use crate::answer::{count, list, number, text};
use crate::output::Output;
use crate::table::{Side, Table};

/// All groups.
pub(super) fn groups(answer: &Value, output: &Output) {
    let mut table = Table::new(&[
        ("GROUP", Side::Left),
        ("SUBSCRIPTION", Side::Left),
        ("STATE", Side::Left),
        ("MEMBERS", Side::Right),
        ("LAG", Side::Right),
    ]);
    for group in list(answer, "groups") {
        table.row([
            text(group, "group").to_owned(),
            or_dash(text(group, "subscription")),
            text(group, "state").to_owned(),
            count(group, "members"),
            count(group, "lag"),
        ]);
    }
    table.print(output, "no consumer groups");
}

/// One group: itself, its members, its partitions.
pub(super) fn group(group: &Value, output: &Output) {
    for (name, value) in [
        ("group", text(group, "group").to_owned()),
        ("subscription", or_dash(text(group, "subscription"))),
        ("state", text(group, "state").to_owned()),
        ("assignor", or_dash(text(group, "assignor"))),
        ("lag", count(group, "lag")),
    ] {
        output.line(format!("{name:<14}{value}"));
    }
    output.line("");
    members(group, output);
    output.line("");
    let mut table = Table::new(&[
        ("TOPIC", Side::Left),
        ("PARTITION", Side::Right),
        ("COMMITTED", Side::Right),
        ("END", Side::Right),
        ("LAG", Side::Right),
        ("MEMBER", Side::Left),
    ]);
    for row in list(group, "offsets") {
        table.row([
            text(row, "topic").to_owned(),
            count(row, "partition"),
            count(row, "committed"),
            count(row, "end"),
            count(row, "lag"),
            or_dash(text(row, "member")),
        ]);
    }
    table.print(output, "nothing is committed");
}

fn members(group: &Value, output: &Output) {
    let mut table = Table::new(&[
        ("MEMBER", Side::Left),
        ("CLIENT", Side::Left),
        ("HOST", Side::Left),
        ("PARTITIONS", Side::Left),
    ]);
    for member in list(group, "members") {
        let topics = list(member, "partitions").iter().map(|topic| {
            let numbers = list(topic, "partitions").iter().filter_map(Value::as_u64);
            format!("{}:{}", text(topic, "topic"), ranges(numbers))
        });
        table.row([
            text(member, "id").to_owned(),
            text(member, "client_id").to_owned(),
            text(member, "host").to_owned(),
            or_dash(&topics.collect::<Vec<_>>().join(" ")),
        ]);
    }
    table.print(output, "no members");
}

/// What a reset changes.
pub(super) fn changes(reset: &Value, output: &Output) {
    let mut table = Table::new(&[
        ("TOPIC", Side::Left),
        ("PARTITION", Side::Right),
        ("WAS", Side::Right),
        ("BECOMES", Side::Right),
        ("", Side::Right),
    ]);
    for change in list(reset, "offsets") {
        table.row([
            text(change, "topic").to_owned(),
            count(change, "partition"),
            count(change, "was"),
            count(change, "becomes"),
            moved(number(change, "was"), number(change, "becomes")),
        ]);
    }
    table.print(output, "nothing is meant");
}

/// How far an offset moves, and which way.
fn moved(was: Option<u64>, becomes: Option<u64>) -> String {
    match (was, becomes) {
        (Some(was), Some(becomes)) if becomes > was => format!("+{}", becomes - was),
        (Some(was), Some(becomes)) if becomes < was => format!("-{}", was - becomes),
        (Some(_), Some(_)) => "=".to_owned(),
        _ => String::new(),
    }
}

/// Rising numbers, those without a gap between as their ends: `0-3,7`.
fn ranges(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let text = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_gap_are_one_range() {
        for (numbers, expected) in [
            (vec![], ""),
            (vec![3], "3"),
            (vec![0, 1, 2, 3], "0-3"),
            (vec![0, 2, 3, 7], "0,2-3,7"),
            (vec![u64::MAX], "18446744073709551615"),
        ] {
            assert_eq!(ranges(numbers.clone()), expected, "{numbers:?}");
        }
    }

    #[test]
    fn a_move_says_how_far_and_which_way() {
        for (was, becomes, expected) in [
            (Some(4), Some(0), "-4"),
            (Some(4), Some(9), "+5"),
            (Some(4), Some(4), "="),
            (None, Some(4), ""),
        ] {
            assert_eq!(moved(was, becomes), expected, "{was:?} {becomes:?}");
        }
    }
}
