//! Takes handles of WASI and gives none back; or, told `ask`, makes 5,000 requests that are not
//! granted, and rejects the event when one is let out.

wit_bindgen::generate!({ path: "../../../wit", world: "handler", generate_all });

use exports::gristmill::plugin::event_handler::{Event, Failure, Guest};
use gristmill::plugin::types::Rejection;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{ErrorCode, Fields, OutgoingRequest, Scheme};

struct Handler;

export!(Handler);

impl Guest for Handler {
    fn handle(event: Event) -> Result<(), Failure> {
        if event.payload == b"ask" { ask() } else { hoard() }
    }
}

fn hoard() -> ! {
    let header = [("x-filling".to_owned(), vec![b'x'; 16 << 10])];
    loop {
        std::mem::forget(Fields::from_list(&header));
    }
}

fn ask() -> Result<(), Failure> {
    for _ in 0..5_000 {
        let request = OutgoingRequest::new(Fields::new());
        let _is_set = request.set_scheme(Some(&Scheme::Http));
        let _is_set = request.set_authority(Some("127.0.0.1:9"));
        let _is_set = request.set_path_with_query(Some("/"));
        let Ok(answer) = outgoing_handler::handle(request, None) else { panic!("malformed") };
        answer.subscribe().block();
        if !matches!(answer.get(), Some(Ok(Err(ErrorCode::HttpRequestDenied)))) {
            let reason = "a request was let out".to_owned();
            return Err(Failure::Reject(Rejection { reason, code: None }));
        }
    }
    Ok(())
}
