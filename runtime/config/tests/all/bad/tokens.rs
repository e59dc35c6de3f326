//! What is wrong with tokens.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn a_token_has_a_hash_and_roles() {
    let text = r#"listen = "0.0.0.0:8080"
[http]
allow_anonymous = true
[tokens.one]
hash = "sha256:9f86"
roles = ["reed"]
[tokens.two]
roles = []
expires = "tomorrow"
[tokens.three]
hash = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
roles = ["read", "publish", "operate"]
topics = []
[tokens.four]
hash = "sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08"
roles = ["read"]
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:3: [E0122] `allow_anonymous` admits everybody, and `[tokens]` nobody without one
              write: `allow_anonymous = false`
            gristmill.toml:5: [E0111] `hash`: "sha256:9f86" is not a hash: `sha256:` and 64 hexadecimal digits
              write: `hash = "sha256:46b4ca215b89878777d6c1eaf31fd99ae84e7fb0aadc871e52fdd0ae4013d3cc"`
            gristmill.toml:6: [E0108] `roles`: "reed" is not a role: `read`, `publish` or `operate`
              write: `roles = ["read"]`
            gristmill.toml:7: [E0104] `hash` is missing in `[tokens.two]`
              write: `hash = "sha256:46b4ca215b89878777d6c1eaf31fd99ae84e7fb0aadc871e52fdd0ae4013d3cc"`
            gristmill.toml:8: [E0107] `roles` takes 1 to 3 strings, not 0
              write: `roles = ["read"]`
            gristmill.toml:9: [E0111] `expires`: "tomorrow" is not a moment in RFC 3339 such as `2027-01-31T00:00:00Z`
              write: `expires = "2027-01-31T00:00:00Z"`
            gristmill.toml:13: [E0107] `topics` takes 1 to 64 strings, not 0
              write: `topics = ["*"]`
            gristmill.toml:15: [E0119] tokens `three` and `four` are the same: each needs its own
        "#]],
    );
}
