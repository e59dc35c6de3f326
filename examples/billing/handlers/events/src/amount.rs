//! Owns amounts of money: whole cents, written in JSON as a number with up to two decimals. Sums of
//! them are exact.

use std::{error::Error, fmt, iter::Sum};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Cents of one unit of a currency.
const CENTS: f64 = 100.0;
/// Most cents, below which a JSON number holds each of them exactly (source: IEEE 754, 2^53).
const CENTS_MAX: f64 = 9_007_199_254_740_992.0;
/// How far a number may be from whole cents: what binary fractions cost, and no more.
const INEXACT_MAX: f64 = 1e-3;

/// An amount of money, in cents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Amount(i64);

/// A number is no amount of whole cents.
#[derive(Debug, Clone, PartialEq)]
pub struct AmountError(f64);

impl Amount {
    /// So many cents.
    #[must_use]
    pub const fn of_cents(cents: i64) -> Self {
        Self(cents)
    }
}

impl TryFrom<f64> for Amount {
    type Error = AmountError;

    fn try_from(number: f64) -> Result<Self, AmountError> {
        let cents = (number * CENTS).round();
        if !number.is_finite()
            || cents.abs() >= CENTS_MAX
            || (number * CENTS - cents).abs() > INEXACT_MAX
        {
            return Err(AmountError(number));
        }
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and below 2^53")]
        Ok(Self(cents as i64))
    }
}

impl From<Amount> for f64 {
    fn from(amount: Amount) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "amounts read are below 2^53 cents")]
        let cents = amount.0 as Self;
        cents / CENTS
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl fmt::Display for AmountError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is no amount of whole cents", self.0)
    }
}

impl Error for AmountError {}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        f64::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_cents_in_json() {
        for (text, cents) in
            [("0.1", 10), ("12", 1_200), ("1234567.89", 123_456_789), ("-0.07", -7), ("4.35", 435)]
        {
            let amount: Amount = serde_json::from_str(text).unwrap();
            assert_eq!(amount, Amount::of_cents(cents), "{text}");
            let written = serde_json::to_string(&amount).unwrap();
            assert_eq!(serde_json::from_str::<Amount>(&written).unwrap(), amount, "{text}");
        }
        for text in ["0.001", "1e300", "99999999999999.999", "\"1\""] {
            assert!(serde_json::from_str::<Amount>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sums_are_exact() {
        let tenths = std::iter::repeat_n(Amount::of_cents(10), 3).sum::<Amount>();
        assert_eq!(f64::from(tenths).to_string(), "0.3");
    }
}
