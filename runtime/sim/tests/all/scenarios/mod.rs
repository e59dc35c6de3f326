//! Tells one story per rule: a scenario in, its transcript out, both to be read aloud.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes transcripts so")]

mod lanes;
mod recovery;

use expect_test::Expect;
use gristmill_sim::story;

fn check(scenario: &str, transcript: &Expect) {
    match story::play(scenario) {
        Ok(told) => transcript.assert_eq(&told),
        Err(what) => panic!("{what}"),
    }
}
