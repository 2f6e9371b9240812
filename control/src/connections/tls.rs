//! TLS: certificates from files, by the name that clients ask for, and sessions on sockets that never block.

use crate::config::{Config, ServerCa, Tls};
use anyhow::{Context, Result, bail};
use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

/// Bytes that TLS itself keeps for a socket that takes no more; the rest waits as it is.
const SESSION_BUFFER: usize = 16 << 10;

/// What new sessions begin with.
#[derive(Clone, Debug)]
pub(super) struct TlsSetup {
    /// None without a certificate of our own.
    server: Option<Arc<ServerConfig>>,
    client: Arc<ClientConfig>,
}

impl TlsSetup {
    /// Whether anything is said over TLS: with a listen point, or a certificate for connections that we open.
    pub(super) fn wanted(config: &Config) -> bool {
        config.tls != Tls::default() || config.listen.iter().any(|at| at.transport.is_secure())
    }

    /// Reads all files.
    ///
    /// # Errors
    /// The setting, the file and what is wrong with it.
    pub(super) fn read(settings: &Tls) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let own = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => Some(certified(certificate, key, &provider)?),
            (None, None) => None,
            _ => bail!("tls.certificate and tls.key go together: name both"),
        };
        let server = own.as_ref().map(|own| server(settings, own, &provider)).transpose()?;
        Ok(Self { server, client: Arc::new(client(settings, own, provider)?) })
    }

    /// A session with a client that has connected; none without a certificate.
    pub(super) fn accept(&self) -> Option<Box<Session>> {
        let session = ServerConnection::new(Arc::clone(self.server.as_ref()?)).ok()?;
        Some(Session::new(session.into()))
    }

    /// A session with a server at this address.
    pub(super) fn connect(&self, to: IpAddr) -> Option<Box<Session>> {
        let name = ServerName::IpAddress(to.into());
        let session = ClientConnection::new(Arc::clone(&self.client), name).ok()?;
        Some(Session::new(session.into()))
    }
}

fn server(
    settings: &Tls,
    own: &Arc<CertifiedKey>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(authorities(file).context("tls.client_ca")?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
            builder.with_client_cert_verifier(verifier.context("tls.client_ca")?)
        }
    };
    let mut names = HashMap::new();
    for (index, entry) in settings.names.iter().enumerate() {
        let certified = certified(&entry.certificate, &entry.key, provider)
            .with_context(|| format!("tls.names[{index}]"))?;
        names.insert(entry.name.to_ascii_lowercase(), certified);
    }
    let mut server =
        builder.with_cert_resolver(Arc::new(Names { default: Arc::clone(own), names }));
    // Nobody sends SIP before it knows who is there; RFC 8446 section 8 says what early data risks.
    server.max_early_data_size = 0;
    server.send_tls13_tickets = 1;
    Ok(Arc::new(server))
}

fn client(
    settings: &Tls,
    own: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &settings.server_ca {
        ServerCa::Nobody => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
        }
        ServerCa::File(file) => {
            builder.with_root_certificates(authorities(file).context("tls.server_ca")?)
        }
        ServerCa::System => {
            let mut roots = RootCertStore::empty();
            // Without any, servers are refused one by one, with a reason each.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            builder.with_root_certificates(roots)
        }
    };
    Ok(match own {
        None => builder.with_no_client_auth(),
        // Servers that ask get the certificate that our clients get: proxies know each other by it.
        Some(own) => {
            let resolver = rustls::sign::SingleCertAndKey::from(own);
            builder.with_client_cert_resolver(Arc::new(resolver))
        }
    })
}

fn certified(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("no certificate can be read from {}", certificate.display()))?;
    let shown = key.display();
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("no private key can be read from {shown}"))?;
    let certified = CertifiedKey::from_der(chain, key, provider).with_context(|| {
        format!(
            "{shown} is not the key of {}, or of a kind that is not known",
            certificate.display()
        )
    })?;
    Ok(Arc::new(certified))
}

fn authorities(file: &Path) -> Result<RootCertStore> {
    let shown = file.display();
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).with_context(|| format!("{shown} cannot be read"))?;
    for certificate in certificates {
        let added = certificate.map_err(anyhow::Error::from).and_then(|one| Ok(roots.add(one)?));
        added.with_context(|| format!("{shown} holds what is no authority's certificate"))?;
    }
    if roots.is_empty() {
        bail!("{shown} holds no certificate");
    }
    Ok(roots)
}

/// Certificates by the name that a client asks for (RFC 6066 section 3).
#[derive(Debug)]
struct Names {
    default: Arc<CertifiedKey>,
    names: HashMap<String, Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.names.get(&name.to_ascii_lowercase()));
        Some(Arc::clone(named.unwrap_or(&self.default)))
    }
}

/// Takes any certificate, but only from who has its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS session.
#[derive(Debug)]
pub(super) struct Session {
    tls: Connection,
    is_within_record: bool,
}

impl Session {
    fn new(mut tls: Connection) -> Box<Self> {
        tls.set_buffer_limit(Some(SESSION_BUFFER));
        Box::new(Self { tls, is_within_record: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether a client has shown a certificate that `client_ca` vouches for and that names this address: what we
    /// ask of a server there, too ([`TlsSetup::connect`]).
    pub(super) fn is_named(&self, address: IpAddr) -> bool {
        let Connection::Server(session) = &self.tls else { return false };
        let shown = session.peer_certificates().and_then(<[_]>::first);
        shown.and_then(|shown| ParsedCertificate::try_from(shown).ok()).is_some_and(|shown| {
            verify_server_name(&shown, &ServerName::IpAddress(address.into())).is_ok()
        })
    }

    pub(super) fn is_within_record(&self) -> bool {
        self.is_within_record
    }

    pub(super) fn read(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Many close without saying so (RFC 8446 section 6.1); messages have lengths of their own.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => {
                    self.is_within_record = false;
                    return result;
                }
            }
            if self.tls.read_tls(socket)? == 0 {
                return Ok(0);
            }
            self.is_within_record = true;
            let outcome = self.tls.process_new_packets();
            // Its part of the handshake, or the alert that says what was wrong.
            let flushed = self.flush(socket);
            outcome.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            flushed?;
        }
    }

    pub(super) fn write_vectored(
        &mut self,
        socket: &mut TcpStream,
        pieces: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if self.tls.is_handshaking() {
            self.flush(socket)?;
            return Err(ErrorKind::WouldBlock.into());
        }
        let written = self.tls.writer().write_vectored(pieces)?;
        self.flush(socket)?;
        if written == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    pub(super) fn flush(&mut self, socket: &mut TcpStream) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    pub(super) fn end(&mut self, socket: &mut TcpStream) {
        self.tls.send_close_notify();
        // Whoever does not read it any more does not miss it.
        let _ = self.flush(socket);
    }
}
