//! TLS with the API server: what is offered, who is believed, and what a refusal means to an administrator.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::credentials::{ClientCertificate, Endpoint, Pem, Trust};
use super::failure::Failure;
use crate::cni::Error;
use crate::cni::text::shortened_to;

/// Names of a foreign certificate in a message, at most.
const MOST_NAMES: usize = 20;

/// The ALPN name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// How to speak TLS with an endpoint, and the name that its certificate must have.
///
/// # Errors
/// Code 7 when certificates or keys cannot be used, naming where they stand.
pub(super) fn settings(endpoint: &Endpoint) -> Result<(Arc<ClientConfig>, ServerName<'static>), Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config(format!("TLS cannot be set up: {error}")))?;
    let builder = match &endpoint.trust {
        Trust::Node => builder.with_root_certificates(node_roots()?),
        Trust::Authorities(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnybodyVerifier { provider })),
    };
    let mut config = match &endpoint.certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            builder.with_client_auth_cert(certificates(chain)?, private_key(key)?).map_err(|error| {
                Error::config(format!("{} and {} do not belong together: {error}", chain.origin, key.origin))
            })?
        }
    };
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), server_name(endpoint)?))
}

fn server_name(endpoint: &Endpoint) -> Result<ServerName<'static>, Error> {
    let (name, key) = match &endpoint.server_name {
        Some(name) => (name, "tls-server-name"),
        None => (&endpoint.server.host, "server"),
    };
    ServerName::try_from(name.clone())
        .map_err(|_| Error::config(format!("key {key} has no name or address that a certificate can have")))
}

fn node_roots() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::config(
            "the key certificate-authority is missing, and the node's system trusts no authority that could stand for \
             it: set it to the cluster's",
        ));
    }
    Ok(roots)
}

fn roots(pem: &Pem) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // As for other clients, one certificate of a bundle that cannot be used does not spoil the others.
    roots.add_parsable_certificates(certificates(pem)?);
    if roots.is_empty() {
        return Err(Error::config(format!("{} has no certificate that can be used as an authority's", pem.origin)));
    }
    Ok(roots)
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Error::config(format!("{} has no certificate in PEM form: give one", pem.origin))),
        Err(error) => Err(Error::config(format!("{} is no text in PEM form: {error}", pem.origin))),
    }
}

fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
    // The library's error is left out: nothing of a key's text may come near a message.
    PrivateKeyDer::from_pem_slice(&pem.text).map_err(|_| {
        Error::config(format!("{} has no key in PEM form, or an encrypted one: give it unencrypted", pem.origin))
    })
}

/// What a failed handshake means. An alert that speaks of the server's own state may pass; the rest does not.
pub(super) fn failure(error: &rustls::Error, endpoint: &Endpoint) -> Failure {
    let origin = &endpoint.origin;
    match error {
        rustls::Error::InvalidCertificate(reason) => Failure::Unusable(certificate_failure(reason, endpoint)),
        rustls::Error::InvalidMessage(_) => {
            Failure::Unusable(format!("it does not speak TLS: correct the server's address in {origin} ({error})"))
        }
        rustls::Error::AlertReceived(AlertDescription::InternalError | AlertDescription::UserCanceled) => {
            Failure::Transport(format!("the TLS handshake failed: {error}"))
        }
        rustls::Error::AlertReceived(_) => Failure::Unusable(format!(
            "it refuses the TLS handshake: {error}; when it wants a certificate of its clients, {origin} must have one \
             that it knows in client-certificate"
        )),
        other => Failure::Unusable(format!("the TLS handshake failed: {other}")),
    }
}

fn certificate_failure(reason: &CertificateError, endpoint: &Endpoint) -> String {
    let origin = &endpoint.origin;
    match reason {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &endpoint.trust {
            Trust::Authorities(pem) => format!(
                "its certificate is not signed by an authority of {}: give the cluster's in the key \
                 certificate-authority of {origin}",
                pem.origin
            ),
            Trust::Node | Trust::Anybody => format!(
                "its certificate is not signed by an authority that the node's system trusts: set the key \
                 certificate-authority of {origin} to the cluster's"
            ),
        },
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().take(MOST_NAMES).map(String::as_str).collect();
            format!(
                "its certificate is not for {} but for {}: correct the key server of {origin}, or set tls-server-name",
                expected.to_str(),
                shortened_to(1000, &names.join(", ")),
            )
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}: renew it, or correct this node's clock", time(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid from {} on: correct this node's clock", time(*not_before))
        }
        other => format!("its certificate cannot be verified: {}", shortened_to(300, &format!("{other:?}"))),
    }
}

fn time(time: UnixTime) -> String {
    let latest = Duration::from_secs(253_402_300_799); // The end of the year 9999, after which nothing is printed.
    let since = Duration::from_secs(time.as_secs()).min(latest);
    UNIX_EPOCH.checked_add(since).map(|time| humantime::format_rfc3339_seconds(time).to_string()).unwrap_or_default()
}

/// For `insecure-skip-tls-verify`: believes whoever answers. A signature is not looked at either, since it would only
/// prove that they hold the key of a certificate that nobody vouches for.
#[derive(Debug)]
struct AnybodyVerifier {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnybodyVerifier {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
