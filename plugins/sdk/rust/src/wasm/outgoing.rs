//! Sends a handler's requests through `wasi:http`.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::streams::StreamError;

use crate::{Call, Header, HttpError, Response};

/// Bytes written and read at once (source: `wasi:io/streams`, `blocking-write-and-flush`).
const CHUNK: usize = 4_096;

/// Sends a request and reads the whole answer.
pub(super) fn send(call: Call) -> Result<Response, HttpError> {
    let invalid = |what: &str| HttpError::Invalid(format!("{what} of {}", call.url));
    let origin = origin(&call.url);
    let (request, body) = outgoing(&call).ok_or_else(|| invalid("method, URL or a header"))?;
    let failed = |code: ErrorCode| failed(&code, &origin);
    let answer = outgoing_handler::handle(request, None).map_err(failed)?;
    write(body, &call.body).map_err(|why| HttpError::Unavailable(format!("{origin}: {why}")))?;
    answer.subscribe().block();
    let answer = match answer.get() {
        Some(Ok(answer)) => answer.map_err(failed)?,
        Some(Err(())) | None => return Err(HttpError::Unavailable(format!("{origin}: nothing"))),
    };
    read(&answer).map_err(|why| HttpError::Unavailable(format!("{origin}: {why}")))
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
}

fn outgoing(call: &Call) -> Option<(OutgoingRequest, OutgoingBody)> {
    let (scheme, rest) = call.url.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut headers: Vec<(String, Vec<u8>)> =
        call.headers.iter().map(|it| (it.name.clone(), it.value.clone())).collect();
    if !call.body.is_empty() {
        headers.push(("content-length".to_owned(), call.body.len().to_string().into_bytes()));
    }
    let request = OutgoingRequest::new(Fields::from_list(&headers).ok()?);
    request.set_method(&method(&call.method)).ok()?;
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(&path)).ok()?;
    let body = request.body().ok()?;
    Some((request, body))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), String> {
    let said = |error: &StreamError| match error {
        StreamError::Closed => "the connection closed".to_owned(),
        StreamError::LastOperationFailed(error) => error.to_debug_string(),
    };
    let stream = body.write().map_err(|()| "the body was written already".to_owned())?;
    for chunk in bytes.chunks(CHUNK) {
        // Who answers early need not read everything.
        if let Err(error) = stream.blocking_write_and_flush(chunk) {
            if matches!(error, StreamError::Closed) {
                return Ok(());
            }
            return Err(said(&error));
        }
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))
}

fn read(answer: &IncomingResponse) -> Result<Response, String> {
    let headers = answer.headers().entries();
    let headers = headers.into_iter().map(|(name, value)| Header { name, value }).collect();
    let incoming: IncomingBody = answer.consume().map_err(|()| "it was read already".to_owned())?;
    let mut body = Vec::new();
    {
        let stream = incoming.stream().map_err(|()| "it was read already".to_owned())?;
        loop {
            match stream.blocking_read(CHUNK as u64) {
                Ok(chunk) => body.extend_from_slice(&chunk),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
            }
        }
    }
    Ok(Response { status: answer.status(), headers, body })
}

fn failed(code: &ErrorCode, origin: &str) -> HttpError {
    match code {
        ErrorCode::HttpRequestDenied => HttpError::NotGranted(format!("http = [\"{origin}\"]")),
        ErrorCode::DestinationIpProhibited => {
            HttpError::NotGranted(format!("http_private = true, or {origin} in numbers"))
        }
        ErrorCode::ConnectionLimitReached => {
            HttpError::NotGranted("more `http_requests` in [subscription.limits]".to_owned())
        }
        other => HttpError::Unavailable(format!("{origin}: {other:?}")),
    }
}
