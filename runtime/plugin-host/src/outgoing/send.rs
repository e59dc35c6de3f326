//! Sends one request over a connection of its own. The address that was checked is the one that is
//! connected to: a name is resolved once.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};

use super::address::{Target, is_private};
use super::{Pass, Sent};

/// What this machine trusts, read once: its store, or what `SSL_CERT_FILE` names.
static TLS: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "read the certificates that this machine trusts");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("this machine trusts no certificate: no plugin can call https");
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Arc::new(config)
});

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request, and gives back its answer once status and headers have come.
pub(super) async fn send(
    mut request: Request<WasiBody>,
    target: &Target,
    pass: Pass,
) -> Result<Sent, Error> {
    let stream = connect(target, pass).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What is in the way of the answer is dropped with it.
    let driving =
        wasmtime_wasi::runtime::spawn(async move { connection.await.map_err(Error::from) });
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    let answer: Response<_> = sender.send_request(request).await?;
    let answer = answer.map(|body| body.map_err(Error::from).boxed_unsync());
    // No other request follows: the connection ends with the body of this answer.
    drop(sender);
    Ok((answer, Box::new(driving)))
}

async fn connect(target: &Target, pass: Pass) -> Result<Box<dyn Stream>, Error> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let unknown = |why: String| Error::DnsError { rcode: Some(why), info_code: None };
    let found = found.map_err(|error| unknown(error.to_string()))?;
    let (mut addresses, mut private) = (Vec::new(), false);
    for address in found {
        if pass.private || !is_private(address.ip()) {
            addresses.push(address);
        } else {
            private = true;
        }
    }
    if addresses.is_empty() {
        return Err(if private {
            Error::DestinationIpProhibited
        } else {
            unknown("it has no address".to_owned())
        });
    }
    let stream = TcpStream::connect::<&[SocketAddr]>(&addresses).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    if !target.https {
        return Ok(Box::new(stream));
    }
    let name =
        ServerName::try_from(target.host.clone()).map_err(|_no_name| Error::TlsProtocolError)?;
    let tls = TlsConnector::from(Arc::clone(&TLS)).connect(name, stream).await;
    Ok(Box::new(tls.map_err(Error::Tls)?))
}
