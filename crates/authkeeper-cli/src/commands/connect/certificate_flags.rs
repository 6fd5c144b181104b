//! The client certificate of a connection (RFC 8705). Its files are looked at before anybody is asked to sign in; what is kept
//! is where they are.

use authkeeper::{
    http::{CertificateFiles, UnusableCertificate},
    model::ClientAuthMethod,
};

use super::assertion_flags::whole;
use crate::{args::ClientArgs, exit::Exit, failure::Failure, settings::CliSettings};

/// The certificate that was named, if one was.
pub(super) fn given(
    settings: &CliSettings,
    args: &ClientArgs,
) -> Result<Option<CertificateFiles>, Failure> {
    let Some(cert) = &args.client_cert else {
        return check_method(settings, args).map(|()| None);
    };
    let key = args.client_key.as_ref().unwrap_or(cert);
    let files = CertificateFiles {
        cert: whole(cert)?,
        key: whole(key)?,
    };
    match files.facts() {
        Ok(_) => Ok(Some(files)),
        Err(unusable) => Err(refused(&unusable, args.client_key.is_some())),
    }
}

/// A method that shows a certificate needs one: the connection's, or one that the configuration file sets for a host.
fn check_method(settings: &CliSettings, args: &ClientArgs) -> Result<(), Failure> {
    let method = args.client_auth.as_deref();
    let wanted = method
        .and_then(ClientAuthMethod::parse)
        .filter(|method| method.shows_a_certificate());
    let of_hosts = &settings.network.tls.certificates;
    match wanted {
        Some(method) if of_hosts.is_empty() => Err(Failure::new(
            Exit::Usage,
            format!(
                "--client-auth {} shows a client certificate, and none was named",
                method.as_str()
            ),
            "add --client-cert FILE [--client-key FILE]",
        )),
        _ => Ok(()),
    }
}

fn refused(unusable: &UnusableCertificate, two_files: bool) -> Failure {
    let flag = match unusable {
        UnusableCertificate::Key { .. } if two_files => "--client-key",
        UnusableCertificate::Key { .. } => {
            let next = "name the file that holds its private key (PEM) with --client-key";
            return Failure::new(Exit::Config, format!("--client-cert: {unusable}"), next);
        }
        UnusableCertificate::OtherKey { .. } => {
            let next = "name the key that the certificate was issued for with --client-key";
            return Failure::new(Exit::Config, unusable.to_string(), next);
        }
        _ => "--client-cert",
    };
    let next = format!("correct {flag}, or the file that it names (PEM)");
    Failure::new(Exit::Config, format!("{flag}: {unusable}"), next)
}
