//! Tests of tokens: who is served, who is not, and what they are told.

use axum::http::StatusCode;
use sha2::{Digest, Sha256};

use super::World;

/// Tokens that are all the rest of their line says.
pub(super) fn admitting(tokens: &[(&str, &str)]) -> World {
    let table = |(name, rights): &(&str, &str)| {
        let hash = Sha256::digest(format!("secret-{name}"));
        format!("[tokens.{name}]\nhash = \"sha256:{hash:x}\"\n{rights}\n")
    };
    World::new(&tokens.iter().map(table).collect::<Vec<_>>().concat())
}

fn world() -> World {
    admitting(&[
        ("reader", "roles = [\"read\"]"),
        ("shop", "roles = [\"publish\", \"read\"]\ntopics = [\"ord*\"]"),
        ("ops", "roles = [\"operate\"]"),
        ("old", "roles = [\"read\"]\nexpires = \"2020-01-01T00:00:00Z\""),
    ])
}

#[tokio::test]
async fn who_has_the_role_for_the_topic_is_served() {
    let world = world();
    for (token, method, path, expected) in [
        ("reader", "GET", "/api/v1/topics", 200),
        ("reader", "HEAD", "/api/v1/topics", 200),
        ("reader", "GET", "/metrics", 200),
        ("reader", "POST", "/topics/orders", 403),
        ("reader", "DELETE", "/api/v1/topics/small", 403),
        ("shop", "POST", "/topics/orders", 202),
        ("shop", "POST", "/topics/seats", 403),
        ("shop", "GET", "/api/v1/topics/orders/records?partition=0", 200),
        ("shop", "GET", "/api/v1/topics/seats/records?partition=0", 403),
        ("shop", "GET", "/api/v1/topics", 403),
        ("shop", "GET", "/metrics", 403),
        ("shop", "GET", "/state/any", 403),
        ("ops", "GET", "/api/v1/topics", 403),
        ("ops", "POST", "/topics/orders", 403),
        ("ops", "DELETE", "/api/v1/topics/small", 204),
        ("old", "GET", "/api/v1/topics", 401),
        ("nobody", "GET", "/api/v1/topics", 401),
    ] {
        let bearer = format!("Bearer secret-{token}");
        let headers = [("authorization", &*bearer)];
        let answer = world.send(super::request(method, path, &headers, "")).await;
        assert_eq!(answer.status.as_u16(), expected, "{token} {method} {path}: {}", answer.text);
        if expected == 403 {
            assert_eq!(answer.failure(), "403 E0442");
            assert!(answer.message().contains(token), "{}", answer.message());
        }
    }
}

#[tokio::test]
async fn who_has_no_token_is_told_how() {
    let world = world();
    for path in ["/healthz", "/readyz"] {
        assert_ne!(world.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for (credentials, word) in [
        (None, "there is none"),
        (Some("secret-reader"), "no bearer token"),
        (Some("Basic secret-reader"), "no bearer token"),
        (Some("Bearer"), "no bearer token"),
        (Some("Bearer secret"), "not known"),
        (Some("Bearer secret-old"), "expired"),
    ] {
        let headers: Vec<_> = credentials.iter().map(|it| ("authorization", *it)).collect();
        let request = super::request("GET", "/api/v1/topics", &headers, "");
        let answer = world.send(request).await;
        assert_eq!(answer.failure(), "401 E0441", "{credentials:?}");
        assert!(answer.message().contains(word), "{}", answer.message());
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"gristmill\"");
    }
    let headers = [("authorization", "bearer  secret-reader")];
    let answer = world.send(super::request("GET", "/api/v1/topics", &headers, "")).await;
    assert_eq!(answer.status, StatusCode::OK, "a scheme has no case: {}", answer.text);
}

/// What no route serves is nobody's secret; every route of the surface but health needs a role.
#[tokio::test]
async fn nothing_is_served_by_an_oversight() {
    let world = world();
    assert_eq!(world.get("/nowhere").await.failure(), "404 E0410");
    for route in super::super::routes() {
        let path = route.path.replace(['{', '}'], "");
        for (method, role) in route.methods {
            let answer = world.send(super::request(&method.to_uppercase(), &path, &[], "")).await;
            let is_open = answer.status != StatusCode::UNAUTHORIZED;
            assert_eq!(is_open, role.is_none(), "{method} {path}");
            assert_eq!(is_open, ["/healthz", "/readyz"].contains(&route.path), "{path}");
        }
    }
}
