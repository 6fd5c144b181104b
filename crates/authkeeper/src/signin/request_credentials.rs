//! The audience of our assertions and the `DPoP` key of one sign-in (RFC 7523 §3, RFC 9449).

use std::sync::Arc;

use crate::{
    http::{CertificateFiles, HttpUrl, Reply, Request},
    model::{DpopUse, GrantMaterial, TokenSet},
    oauth::{
        WireError,
        discovery::{Discovered, DpopOffer},
        dpop::{self, Binding, ProofKey, UnusableKey},
        token::TokenAnswer,
    },
    runtime::Runtime,
    secret::SecretString,
    signin::{ConnectError, ConnectRequest, SignInMethod},
};

/// What every request of a sign-in to the token endpoint is made with.
#[derive(Clone, Debug)]
pub(super) struct RequestCredentials {
    /// Whom our client's assertions are for, as a person said it.
    pub(super) said: Option<String>,
    /// The same, or as the provider is known to want it.
    pub(super) audience: Option<String>,
    /// The key that the tokens shall be bound to.
    pub(super) key: Option<DpopKey>,
    /// Whether tokens that are bound to none will not do.
    pub(super) must: bool,
    /// The client certificate that the server is shown.
    pub(super) certificate: Option<CertificateFiles>,
}

impl RequestCredentials {
    /// Puts the proof of the key on a request, if there is one.
    pub(super) fn prove(&self, request: &mut Request, endpoint: &HttpUrl) -> Result<(), WireError> {
        match &self.key {
            Some(key) => Ok(key.binding.prove(request, endpoint.uri())?),
            None => Ok(()),
        }
    }

    pub(super) fn wants_nonce(&self, endpoint: &HttpUrl, reply: &Reply) -> bool {
        let key = self.key.as_ref();
        key.is_some_and(|key| key.binding.hears(endpoint.uri(), reply))
    }

    /// By which a server knows the key again.
    pub(super) fn thumbprint(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.binding.thumbprint())
    }

    /// The text that the key is kept as.
    pub(super) fn kept_key(&self) -> Option<SecretString> {
        self.key.as_ref().map(|key| key.kept.clone())
    }

    /// The thumbprint of the key that tokens are bound to; an error says why they are of no use.
    pub(super) fn binds(&self, answer: &TokenAnswer) -> Result<Option<String>, String> {
        let bound = answer.unusable_type(true);
        if let (Some(key), None) = (&self.key, bound) {
            return Ok(Some(key.binding.thumbprint().to_owned()));
        }
        // A sign-in that was begun before that was so has no key.
        if self.must {
            let kind = bound.unwrap_or("DPoP without a key of ours");
            return Err(format!(
                "tokens of the type {kind}, and tokens that are bound to a key (DPoP) are wanted"
            ));
        }
        match answer.unusable_type(false) {
            None => Ok(None),
            Some(kind) => Err(format!(
                "tokens of the type {kind}, and authkeeper can present Bearer tokens only, or DPoP tokens where it asked \
                 for them (--dpop required)"
            )),
        }
    }

    /// What the grant needs beside these tokens.
    pub(super) fn grant_material(
        &self,
        request: &ConnectRequest,
        tokens: &TokenSet,
    ) -> GrantMaterial {
        let bound = tokens.subject_binding.bound_to.is_some();
        GrantMaterial {
            assertion: match &request.way {
                SignInMethod::Unattended(unattended) => unattended.source().cloned(),
                _ => None,
            },
            audience: self.said.clone(),
            proof_key: self.kept_key().filter(|_| bound),
            dpop: request.dpop,
            began_with: None,
            requests: request.requests.clone(),
            certificate: self.certificate.clone(),
        }
    }
}

/// A key, ready for use, and the text it is kept as.
#[derive(Clone, Debug)]
pub(super) struct DpopKey {
    pub(super) binding: Binding,
    pub(super) kept: SecretString,
}

impl Runtime {
    pub(super) fn with(
        &self,
        request: &ConnectRequest,
        found: &Discovered,
    ) -> Result<RequestCredentials, ConnectError> {
        let said = request.assertion_audience.clone();
        let named = (&found.provider.issuer, request.provider.as_deref());
        let (wanted, must) = wants_key(request.dpop, found);
        let key = wanted.then(ProofKey::generate).transpose()?;
        Ok(RequestCredentials {
            audience: self.context.audience(said.as_deref(), named),
            said,
            key: key.map(|(key, kept)| self.new_key(key, kept)),
            must,
            certificate: request.client.certificate.clone(),
        })
    }

    fn new_key(&self, key: ProofKey, kept: SecretString) -> DpopKey {
        let context = &self.context;
        let binding = Binding::new(key, Arc::clone(&context.heard), context.seams.clone());
        DpopKey { binding, kept }
    }

    /// The same for a sign-in that goes on where it was: with the key that it began with.
    pub(super) fn with_key_of(
        &self,
        with: RequestCredentials,
        kept: Option<SecretString>,
    ) -> Result<RequestCredentials, ConnectError> {
        let key = kept.map(|kept| Ok((ProofKey::read(&kept)?, kept)));
        let key = key.transpose().map_err(|unusable: UnusableKey| unusable)?;
        Ok(RequestCredentials {
            key: key.map(|(key, kept)| self.new_key(key, kept)),
            ..with
        })
    }
}

/// Whether tokens shall be bound to a key, and whether others will not do (RFC 9449 §5.1; RFC 9728 §2).
pub(super) fn wants_key(wanted: DpopUse, found: &Discovered) -> (bool, bool) {
    let listed = &found.provider.metadata.dpop_signing_alg_values_supported;
    let offered = listed.iter().any(|name| name == dpop::ALGORITHM);
    match (wanted, found.dpop) {
        // A server need not say that it can what its resource demands.
        (DpopUse::Required, _) | (DpopUse::Auto, DpopOffer::Demanded) => (true, true),
        (DpopUse::Auto, DpopOffer::Offered) => (offered, false),
        (DpopUse::Off, _) | (DpopUse::Auto, DpopOffer::None) => (false, false),
    }
}
