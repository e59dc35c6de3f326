//! Tests of what an attempt is allowed.
