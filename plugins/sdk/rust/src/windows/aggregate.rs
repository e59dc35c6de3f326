//! Owns what windows can add up. Every aggregate gives the same whatever order events come in; none
//! uses floating point, whose sums would not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A way to add up the events of a window.
///
/// `add` and `merge` must not depend on order: `a + b` is `b + a`, and `(a + b) + c` is
/// `a + (b + c)`. Otherwise a replay may give another result.
///
/// ```
/// use gristmill_plugin::windows::Aggregate;
///
/// /// The largest amount.
/// struct Largest;
///
/// impl Aggregate for Largest {
///     type Input = i64;
///     type State = Option<i64>;
///     type Output = Option<i64>;
///
///     fn add(state: &mut Option<i64>, amount: i64) {
///         *state = (*state).max(Some(amount));
///     }
///
///     fn merge(state: &mut Option<i64>, other: Option<i64>) {
///         *state = (*state).max(other);
///     }
///
///     fn output(state: Option<i64>) -> Option<i64> {
///         state
///     }
/// }
/// ```
pub trait Aggregate {
    /// What is taken from each event.
    type Input;
    /// What is kept in the key's state, as JSON; its default is that of no event.
    type State: Default + Serialize + DeserializeOwned;
    /// The result.
    type Output;

    /// Adds one event.
    fn add(state: &mut Self::State, input: Self::Input);

    /// Adds the events of another part of the same window.
    fn merge(state: &mut Self::State, other: Self::State);

    /// The result of what was added.
    fn output(state: Self::State) -> Self::Output;
}

/// The number of events.
#[derive(Debug, Clone, Copy)]
pub struct Count;

impl Aggregate for Count {
    type Input = ();
    type State = u64;
    type Output = u64;

    fn add(state: &mut u64, (): ()) {
        *state += 1;
    }

    fn merge(state: &mut u64, other: u64) {
        *state += other;
    }

    fn output(state: u64) -> u64 {
        state
    }
}

/// The exact sum of whole numbers, such as amounts in cents. 2^63 events of any size fit.
#[derive(Debug, Clone, Copy)]
pub struct Sum;

impl Aggregate for Sum {
    type Input = i64;
    type State = i128;
    type Output = i128;

    fn add(state: &mut i128, input: i64) {
        *state += i128::from(input);
    }

    fn merge(state: &mut i128, other: i128) {
        *state += other;
    }

    fn output(state: i128) -> i128 {
        state
    }
}

/// How many different texts there are, exactly, up to `MOST` (default 1,000) of a window.
///
/// Beyond that the result is `MOST` and says that there are more ([`Uniques::more`]), in whatever
/// order events come. The texts are kept in the key's state: `MOST` times their length must stay
/// below the size of one value (default 1 MiB), else the event is rejected as `state-too-large`.
#[derive(Debug, Clone, Copy)]
pub struct Distinct<const MOST: usize = 1_000>;

/// What [`Distinct`] keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctState {
    values: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// What [`Distinct`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uniques {
    /// Different texts, at most as many as are kept.
    pub count: u64,
    /// There are more than `count`.
    pub more: bool,
}

impl<const MOST: usize> Aggregate for Distinct<MOST> {
    type Input = String;
    type State = DistinctState;
    type Output = Uniques;

    fn add(state: &mut DistinctState, input: String) {
        if state.values.len() < MOST || state.values.contains(&input) {
            state.values.insert(input);
        } else {
            state.more = true;
        }
    }

    fn merge(state: &mut DistinctState, other: DistinctState) {
        state.more |= other.more;
        for value in other.values {
            Self::add(state, value);
        }
    }

    fn output(state: DistinctState) -> Uniques {
        Uniques { count: state.values.len() as u64, more: state.more }
    }
}

/// Two aggregates of the same events.
impl<A: Aggregate, B: Aggregate> Aggregate for (A, B) {
    type Input = (A::Input, B::Input);
    type State = (A::State, B::State);
    type Output = (A::Output, B::Output);

    fn add(state: &mut Self::State, input: Self::Input) {
        A::add(&mut state.0, input.0);
        B::add(&mut state.1, input.1);
    }

    fn merge(state: &mut Self::State, other: Self::State) {
        A::merge(&mut state.0, other.0);
        B::merge(&mut state.1, other.1);
    }

    fn output(state: Self::State) -> Self::Output {
        (A::output(state.0), B::output(state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniques(parts: &[&[&str]]) -> Uniques {
        let mut all = DistinctState::default();
        for part in parts {
            let mut state = DistinctState::default();
            for &text in *part {
                Distinct::<3>::add(&mut state, text.to_owned());
            }
            Distinct::<3>::merge(&mut all, state);
        }
        Distinct::<3>::output(all)
    }

    #[test]
    fn distinct_is_exact_up_to_its_bound_in_any_order() {
        for (parts, count, more) in [
            (&[][..], 0, false),
            (&[&["a", "a"][..], &["a"]], 1, false),
            (&[&["a", "b"], &["c", "a"]], 3, false),
            (&[&["a", "b"], &["c", "d"]], 3, true),
            (&[&["c", "d"], &["a", "b"]], 3, true),
            (&[&["d", "c", "b", "a"], &[]], 3, true),
        ] {
            assert_eq!(uniques(parts), Uniques { count, more }, "{parts:?}");
        }
    }

    #[test]
    fn sums_survive_what_would_overflow_between() {
        let mut state = 0;
        for amount in [i64::MAX, i64::MAX, i64::MIN, i64::MIN, 1] {
            Sum::add(&mut state, amount);
        }
        let kept = serde_json::to_string(&(i128::from(i64::MAX) * 9)).unwrap();
        assert_eq!(Sum::output(state), -1);
        assert_eq!(serde_json::from_str::<i128>(&kept).unwrap(), i128::from(i64::MAX) * 9);
    }
}
