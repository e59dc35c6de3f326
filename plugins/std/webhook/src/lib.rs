//! Sends each event to a URL as a CloudEvent in binary mode, and publishes the answer where it is
//! told to. An answer that may be another next time is waited for; one that will not is a dead
//! letter.
//!
//! Its configuration: `url`, where events go; `to`, the topic of answers, none unless given;
//! `header.NAME`, further headers such as credentials.

use gristmill_plugin::{Emission, Event, Host, Outcome, export};

export!(handle);

/// Beginning of the keys that name a header.
const HEADER: &str = "header.";

fn handle(event: &Event, host: &mut Host) -> Outcome {
    let url: String = host.config().require("url")?;
    let to = host.config().get("to")?;
    let named: Vec<(String, String)> = host
        .config()
        .all()?
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(HEADER)?.to_owned(), value)))
        .collect();
    let mut request = host
        .http()
        .post(url)
        .header("ce-specversion", "1.0")
        .header("ce-id", &event.id)
        .header("ce-source", &event.source)
        .header("ce-type", &event.event_type)
        .header("content-type", event.content_type.as_deref().unwrap_or("application/json"))
        .body(event.payload.clone());
    for (name, value) in named {
        request = request.header(&name, value);
    }
    let answer = request.send()?.or_fail()?;
    if let Some(to) = to {
        let content_type = answer.header("content-type").map(str::to_owned);
        let mut emission = Emission::new(to, "webhook.answered", answer.body);
        emission.content_type = content_type;
        host.emit(emission)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use gristmill_plugin::{Header, HttpError, Response};

    use super::*;

    fn host() -> TestHost {
        TestHost::new()
            .with_config("url", "https://api.example.com/hook")
            .with_config("to", "answers")
            .with_config("header.authorization", "Bearer t")
    }

    fn answered(status: u16) -> Response {
        Response { status, body: b"{}".to_vec(), ..Response::default() }
    }

    #[test]
    fn an_event_goes_out_and_its_answer_is_published() {
        let mut host = host();
        host.answer(Ok(answered(201)));
        host.handle(handle, &event("orders", "{\"n\":1}").with_id("e-1")).unwrap();
        let [request] = host.requests() else { panic!("{:?}", host.requests()) };
        let said = (&*request.method, &*request.url, &*request.body);
        assert_eq!(said, ("POST", "https://api.example.com/hook", &b"{\"n\":1}"[..]));
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name == name);
            found.map(|header| String::from_utf8_lossy(&header.value).into_owned())
        };
        assert_eq!(header("ce-id").as_deref(), Some("e-1"));
        assert_eq!(header("authorization").as_deref(), Some("Bearer t"));
        let [emission] = host.emissions() else { panic!("{:?}", host.emissions()) };
        assert_eq!((&*emission.topic, &*emission.payload), ("answers", &b"{}"[..]));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_will_not_is_rejected() {
        let after = |seconds: &str| Response {
            headers: vec![Header {
                name: "Retry-After".to_owned(),
                value: seconds.as_bytes().to_vec(),
            }],
            ..answered(429)
        };
        for (answer, expected) in [
            (Ok(answered(400)), "reject (http-400): answered with status 400"),
            (Ok(answered(404)), "reject (http-404): answered with status 404"),
            (Ok(answered(503)), "retry: answered with status 503"),
            (Ok(after("7")), "retry: answered with status 429"),
            (Err(HttpError::Unavailable("gone".to_owned())), "retry: no answer: gone"),
            (
                Err(HttpError::NotGranted("http = [\"https://a\"]".to_owned())),
                "reject (http-not-granted): request is not granted; grant: http = [\"https://a\"]",
            ),
        ] {
            let mut host = host();
            host.answer(answer);
            let failure = host.handle(handle, &event("orders", "{}")).unwrap_err();
            assert_eq!(failure.to_string(), expected);
            assert!(host.emissions().is_empty() && host.requests().len() == 1);
        }
    }
}
