//! Tokens are read as they are written, and open an address to those who have one.

use gristmill_config::{Glob, Role};
use gristmill_engine::Instant;

use super::host_of;

const TEST: &str =
    "hash = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"";

#[test]
fn a_token_may_read_everything_unless_it_says_otherwise() {
    let config =
        host_of(&format!("listen = \"[::]:80\"\n[tokens.ops]\n{TEST}\nroles = [\"read\"]\n"));
    let token = &config.tokens["ops"];
    assert_eq!(token.hash[..3], [0x9f, 0x86, 0xd0]);
    assert_eq!(token.roles, [Role::Read].into());
    assert!(token.is_unbounded() && token.expires.is_none());
    assert!(host_of("").tokens.is_empty());
}

#[test]
fn a_token_is_as_it_is_written() {
    let config = host_of(&format!(
        "[tokens.shop]\n{TEST}\nroles = [\"operate\", \"publish\"]\n\
         topics = [\"orders.*\", \"carts\"]\nexpires = \"1970-01-01T00:00:09.5Z\"\n"
    ));
    let token = &config.tokens["shop"];
    assert_eq!(token.roles, [Role::Publish, Role::Operate].into());
    assert_eq!(token.topics, [Glob::new("orders.*"), Glob::new("carts")]);
    assert_eq!(token.expires, Some(Instant(9_500)));
    assert!(!token.is_unbounded());
}
