//! Speaks TLS with a database: its certificate must be for the host's name, and of somebody this
//! machine trusts. It does not decide whether TLS is spoken.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// What this machine trusts, read once: its store, or what `SSL_CERT_FILE` names.
static TRUSTING: LazyLock<Result<Arc<ClientConfig>, rustls::Error>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Those that cannot be read are left out: whoever needs one is told that it is unknown.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
});

/// Makes what encrypts a connection to one host.
#[derive(Debug, Clone)]
pub(crate) struct Tls;

/// Encrypts a connection to one host.
pub(crate) struct Encrypting {
    connector: TlsConnector,
    host: ServerName<'static>,
}

/// An encrypted connection.
pub(crate) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

type Handshake = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Encrypting;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Encrypting> {
        let config = TRUSTING.clone().map_err(io::Error::other)?;
        let host = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Encrypting { connector: TlsConnector::from(config), host })
    }
}

impl TlsConnect<Socket> for Encrypting {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Handshake;

    fn connect(self, socket: Socket) -> Handshake {
        Box::pin(async move {
            let Self { connector, host } = self;
            connector.connect(host, socket).await.map(Encrypted)
        })
    }
}

impl TlsStream for Encrypted {
    /// None: passwords are bound to a connection only where both sides ask for it.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
