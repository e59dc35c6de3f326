//! One address for the life of a host: who answers changes, connections stay.

use axum::Router;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::http::server::Server;

#[tokio::test]
async fn a_connection_outlives_who_answers_it() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::start(listener);
    // Both are connected before anybody answers; one has asked nothing when who answers changes.
    let mut asks = TcpStream::connect(address).await?;
    let mut waits = TcpStream::connect(address).await?;
    ask(&mut asks).await?;
    server.answer(saying("waiting"));
    assert!(answer(&mut asks, "waiting").await?, "asked before anybody answered");
    server.answer(saying("host"));
    for connection in [&mut asks, &mut waits] {
        ask(connection).await?;
        assert!(answer(connection, "host").await?, "the connection is not kept");
    }
    server.closed().await?;
    Ok(())
}

fn saying(text: &'static str) -> Router {
    Router::new().fallback(move || async move { text })
}

async fn ask(connection: &mut TcpStream) -> std::io::Result<()> {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: gristmill\r\n\r\n").await
}

/// Whether an answer comes and ends with that text.
async fn answer(connection: &mut TcpStream, text: &str) -> std::io::Result<bool> {
    let (mut read, mut buffer) = (Vec::new(), [0; 1_024]);
    while !read.ends_with(text.as_bytes()) {
        match connection.read(&mut buffer).await? {
            0 => return Ok(false),
            count => read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    Ok(true)
}
