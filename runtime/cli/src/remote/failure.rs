//! Owns how asking a host can fail: nobody answers, the answer breaks off, the host refuses. It
//! gives the host's own words on, code and hint included.

use std::io;

use serde_json::Value;

use crate::exit::Exit;
use crate::problem::Problem;

/// Why a host did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It said no, and why.
    Refused(Refusal),
    /// It did not answer, or not as a host does.
    Silent(Problem),
}

/// What a host says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Status of the answer.
    pub(crate) status: u16,
    /// Stable code; `docs/errors` has a page for each.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Refusal {
    /// From the body of an answer; one that is not a host's is told as such.
    pub(super) fn read(base: &str, status: u16, body: &str) -> Self {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |name: &str| value.pointer(&format!("/error/{name}"))?.as_str();
        match (text("code"), text("message")) {
            (Some(code), Some(message)) => Self {
                status,
                code: code.to_owned(),
                message: message.to_owned(),
                hint: text("hint").map(str::to_owned),
            },
            _ => Self {
                status,
                code: "E0559".to_owned(),
                message: format!("{base} answers with status {status}, not as a Gristmill host"),
                hint: Some("give the address of a host with --url".to_owned()),
            },
        }
    }
}

impl Failure {
    /// Nobody is there, or the connection broke.
    pub(super) fn silent(base: &str, error: ureq::Error) -> Self {
        if is_absence(&error) {
            return Self::Silent(
                Problem::environment("E0558", format!("no host answers at {base}"))
                    .hint("start one with `gristmill run`, or give --url")
                    .source(error),
            );
        }
        Self::broken(base, error)
    }

    /// The connection broke before the answer was whole.
    pub(super) fn broken(base: &str, error: ureq::Error) -> Self {
        let problem = Problem::environment("E0559", format!("read what {base} answers"));
        Self::Silent(problem.source(error))
    }

    /// The answer is not what a host answers.
    pub(super) fn strange(base: &str, error: serde_json::Error) -> Self {
        let problem = Problem::environment("E0559", format!("read what {base} answers"))
            .hint("give the address of a Gristmill host with --url");
        Self::Silent(problem.source(error))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, code, message, hint } = refusal;
        let exit = if status < 500 { Exit::Failed } else { Exit::Environment };
        let problem = Self::new(code, exit, message);
        match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Silent(problem) => problem,
        }
    }
}

fn is_absence(error: &ureq::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound,
    };
    if let ureq::Error::Io(error) = error {
        return matches!(
            error.kind(),
            AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable | NotFound
        );
    }
    matches!(
        error,
        ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_hosts_words() {
        let body = r#"{"error":{"code":"E0414","message":"there is no topic \"x\"","hint":"h"}}"#;
        let problem = Problem::from(Refusal::read("http://h", 404, body));
        assert_eq!((&*problem.code, problem.exit), ("E0414", Exit::Failed));
        assert_eq!(problem.hint.as_deref(), Some("h"));
        assert_eq!(problem.to_string(), "there is no topic \"x\"");
    }

    #[test]
    fn other_servers_are_told_apart() {
        for body in ["<html>", "{}", r#"{"error":"no"}"#] {
            let problem = Problem::from(Refusal::read("http://h", 502, body));
            assert_eq!((&*problem.code, problem.exit), ("E0559", Exit::Environment), "{body}");
        }
    }
}
