//! Proof of possession (RFC 9449): a key of ours that tokens are bound to, and a statement for each request, signed with it.
//! A server may want a number of its own in the statement (a nonce), and says so in a refusal: nothing was done then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{challenge, classify};
use crate::{
    http::{Reply, Request},
    platform::clock::Seams,
    secret::SecretString,
};

/// The header that carries a proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The header in which a server gives its number.
pub const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The algorithm that every server must know that knows any (RFC 9449 leaves the choice; P-256 is what all of them list).
pub const ALGORITHM: &str = "ES256";

/// No server's number is longer.
const LONGEST_NONCE: usize = 1024;
/// The limit of remembered servers; beyond it the memory is cleared.
const MOST_ORIGINS: usize = 256;
/// A clock that differs by less is no reason: `Date` counts whole seconds, and the answer took its time.
const SKEW_THAT_COUNTS: i64 = 3;
/// A proof is dated so many seconds back: a server whose clock is behind takes none from the future.
const ALLOWANCE: i64 = 10;

/// A key can't be made or used.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the key that tokens are bound to can't be used")]
pub struct UnusableKey;

/// A private key that tokens are bound to. It never leaves this machine.
pub struct ProofKey {
    pair: EcdsaKeyPair,
    public: Value,
    thumbprint: String,
}

/// Nothing of the private half.
impl std::fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProofKey")
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

impl ProofKey {
    /// A new key, and the text it is kept as.
    pub fn generate() -> Result<(Self, SecretString), UnusableKey> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let pair = pair.map_err(|_opaque| UnusableKey)?;
        let kept = pair.to_pkcs8v1().map_err(|_opaque| UnusableKey)?;
        let kept = STANDARD_NO_PAD.encode(kept.as_ref());
        Ok((Self::of(pair), kept.into()))
    }

    /// The key that was kept as this text.
    pub fn read(kept: &SecretString) -> Result<Self, UnusableKey> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the key signs; only signatures leave"
        )]
        let kept = STANDARD_NO_PAD.decode(kept.expose());
        let kept = zeroize::Zeroizing::new(kept.map_err(|_not_base64| UnusableKey)?);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &kept);
        pair.map(Self::of).map_err(|_rejected| UnusableKey)
    }

    fn of(pair: EcdsaKeyPair) -> Self {
        // An uncompressed point: 4, then both coordinates (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        // RFC 7638 §3: these members, in this order, without a space.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Self {
            pair,
            public: json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            thumbprint: hash(canonical.as_bytes()),
        }
    }

    /// By which a server knows the key again (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// A signed statement (RFC 7515 §7.1).
    fn sign(&self, claims: &Value) -> Result<String, UnusableKey> {
        let header = json!({"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": self.public});
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signature.map_err(|_opaque| UnusableKey)?;
        Ok(format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }
}

fn hash(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// What servers have said of their numbers and clocks, by origin: an authorization server's number is none of the
/// resource's (RFC 9449 §9).
#[derive(Debug, Default)]
pub struct Heard(Mutex<HashMap<String, ServerHint>>);

#[derive(Clone, Debug, Default)]
struct ServerHint {
    nonce: Option<String>,
    /// How far its clock is ahead of ours, in seconds; none until it has said the time.
    skew: Option<i64>,
}

impl Heard {
    fn all(&self) -> MutexGuard<'_, HashMap<String, ServerHint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, uri: &Uri) -> ServerHint {
        self.all().get(&origin(uri)).cloned().unwrap_or_default()
    }

    /// How far the clock of this URL's server is ahead of ours, in seconds, as it last said the time.
    pub(crate) fn skew(&self, url: &str) -> Option<i64> {
        self.of(&url.parse().ok()?).skew
    }

    /// Any answer may bring a new number (RFC 9449 §8.2).
    pub(crate) fn hear(&self, uri: &Uri, headers: &HeaderMap, seams: &Seams) {
        let nonce = headers
            .get(DPOP_NONCE)
            .and_then(|nonce| nonce.to_str().ok());
        let nonce = nonce.filter(|nonce| !nonce.is_empty() && nonce.len() <= LONGEST_NONCE);
        let skew = classify::skew_of(headers, seams.clock.now().wall);
        let mut all = self.all();
        let origin = origin(uri);
        if all.len() >= MOST_ORIGINS && !all.contains_key(&origin) {
            all.clear();
        }
        let said = all.entry(origin).or_default();
        if let Some(nonce) = nonce {
            said.nonce = Some(nonce.to_owned());
        }
        if let Some(skew) = skew {
            let counts = skew.abs() >= SKEW_THAT_COUNTS;
            said.skew = Some(if counts { skew } else { 0 });
        }
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let origin = format!("{}://{authority}", uri.scheme_str().unwrap_or("https"));
    origin.to_ascii_lowercase()
}

/// A key, with all that a proof by it needs. Clones share it; few tokens have one, so that it takes room apart.
#[derive(Clone)]
pub struct Binding(Arc<BindingState>);

struct BindingState {
    key: ProofKey,
    heard: Arc<Heard>,
    seams: Seams,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.key.fmt(f)
    }
}

impl Binding {
    /// A key in use.
    pub fn new(key: ProofKey, heard: Arc<Heard>, seams: Seams) -> Self {
        Self(Arc::new(BindingState { key, heard, seams }))
    }

    /// By which a server knows the key again (RFC 7638).
    pub fn thumbprint(&self) -> &str {
        self.0.key.thumbprint()
    }

    /// The proof for one request, good once (RFC 9449 §4.2); with a token, for that token alone (§7).
    pub fn proof(
        &self,
        method: &Method,
        uri: &Uri,
        token: Option<&SecretString>,
    ) -> Result<HeaderValue, UnusableKey> {
        let said = self.0.heard.of(uri);
        let now = self.0.seams.clock.now().wall.as_second();
        let there = now.saturating_add(said.skew.unwrap_or_default());
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let scheme = uri.scheme_str().unwrap_or("https");
        let mut claims = json!({
            "jti": self.0.seams.random_id(), "htm": method.as_str(), "iat": there.saturating_sub(ALLOWANCE),
            "htu": format!("{scheme}://{authority}{}", uri.path()),
        });
        if let Some(token) = token {
            #[expect(clippy::disallowed_methods, reason = "the proof holds a hash of it")]
            let hash = hash(token.expose().as_bytes());
            claims["ath"] = hash.into();
        }
        if let Some(nonce) = said.nonce {
            claims["nonce"] = nonce.into();
        }
        let proof = HeaderValue::try_from(self.0.key.sign(&claims)?);
        let mut proof = proof.map_err(|_unprintable| UnusableKey)?;
        proof.set_sensitive(true);
        Ok(proof)
    }

    /// Puts the proof on a request to an authorization server.
    pub(crate) fn prove(&self, request: &mut Request, uri: &Uri) -> Result<(), UnusableKey> {
        let proof = self.proof(&request.method, uri, None)?;
        request.headers.insert(DPOP, proof);
        Ok(())
    }

    /// Notes what a server says of its number and its clock, in whatever answer.
    pub fn hear(&self, uri: &Uri, headers: &HeaderMap) {
        self.0.heard.hear(uri, headers, &self.0.seams);
    }

    /// Notes what an authorization server says; whether it wants the same again, with its number (RFC 9449 §8).
    pub(crate) fn hears(&self, uri: &Uri, reply: &Reply) -> bool {
        self.hear(uri, &reply.headers);
        let refused = classify::refused(reply);
        refused.is_some_and(|refused| refused.code == "use_dpop_nonce")
            && reply.headers.contains_key(DPOP_NONCE)
    }
}

/// Whether a resource wants the same again, with its number (RFC 9449 §9): the token is as good as it was.
pub fn wants_nonce(status: StatusCode, headers: &HeaderMap) -> bool {
    let asked = || challenge::dpop(headers).and_then(|challenge| challenge.error);
    status == StatusCode::UNAUTHORIZED
        && headers.contains_key(DPOP_NONCE)
        && asked().as_deref() == Some("use_dpop_nonce")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn binding() -> Binding {
        let (key, _) = ProofKey::generate().unwrap();
        Binding::new(key, Arc::default(), Seams::system())
    }

    fn part(proof: &HeaderValue, index: usize) -> Value {
        let part = proof.to_str().unwrap().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_key_reads_back_as_the_same_key_and_nothing_else_is_one() {
        let (key, kept) = ProofKey::generate().unwrap();
        let back = ProofKey::read(&kept).unwrap();
        assert_eq!(key.thumbprint(), back.thumbprint());
        assert_ne!(
            key.thumbprint(),
            ProofKey::generate().unwrap().0.thumbprint()
        );
        assert!(!format!("{key:?}").contains("pkcs8"));
        for bad in ["", "AAAA", "!!", "MIG2"] {
            assert!(ProofKey::read(&bad.to_owned().into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proof_is_for_one_request_and_one_token_and_its_signature_holds() {
        let binding = binding();
        let uri: Uri = "https://mcp.example:8443/mcp?x=1".parse().unwrap();
        let token: SecretString = "token".to_owned().into();
        let prove = |token| binding.proof(&Method::POST, &uri, token).unwrap();
        let proof = prove(Some(&token));
        let (header, claims) = (part(&proof, 0), part(&proof, 1));
        assert_eq!(
            (&header["typ"], &header["alg"]),
            (&json!("dpop+jwt"), &json!("ES256"))
        );
        assert_eq!(header["jwk"].get("d"), None, "the private half stays here");
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://mcp.example:8443/mcp");
        assert_eq!(claims["ath"], hash(b"token"));
        assert_eq!(claims.get("nonce"), None);
        let other = part(&prove(None), 1);
        assert_eq!(other.get("ath"), None);
        assert_ne!(claims["jti"], other["jti"]);

        let (text, signature) = proof.to_str().unwrap().rsplit_once('.').unwrap();
        let coordinate = |name: &str| {
            let text = header["jwk"][name].as_str().unwrap();
            URL_SAFE_NO_PAD.decode(text).unwrap()
        };
        let point = [vec![4], coordinate("x"), coordinate("y")].concat();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        public.verify(text.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn each_servers_number_and_clock_are_its_own() {
        let binding = binding();
        let [one, other]: [Uri; 2] =
            ["https://as.example/token", "https://mcp.example/"].map(|uri| uri.parse().unwrap());
        let headers = |nonce: &str, date: &str| {
            let pairs = [(DPOP_NONCE, nonce), (http::header::DATE, date)];
            let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
            let pairs = pairs.map(|(name, value)| (name, value.parse().unwrap()));
            pairs.collect::<HeaderMap>()
        };
        let claims = |uri: &Uri| part(&binding.proof(&Method::GET, uri, None).unwrap(), 1);
        let now = Seams::system().clock.now().wall.as_second();
        let dated = claims(&one)["iat"].as_i64().unwrap();
        assert!((now - 15..now).contains(&dated), "a little in the past");
        binding.hear(&one, &headers("n1", "Fri, 01 Jan 2100 00:00:00 GMT"));
        assert_eq!(claims(&one)["nonce"], "n1");
        assert!(
            claims(&one)["iat"].as_i64().unwrap() > 4_100_000_000,
            "by its clock"
        );
        assert_eq!(claims(&other).get("nonce"), None);
        assert!(claims(&other)["iat"].as_i64().unwrap() < 4_100_000_000);
        binding.hear(&one, &headers("n2", ""));
        assert_eq!(claims(&one)["nonce"], "n2");
        for kept in ["", &"n".repeat(LONGEST_NONCE + 1)] {
            binding.hear(&one, &headers(kept, ""));
            assert_eq!(claims(&one)["nonce"], "n2", "no number is no news");
        }
    }

    #[test]
    fn only_a_refusal_for_want_of_a_number_is_one() {
        let asked = |status: u16, challenge: &str, nonce: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::WWW_AUTHENTICATE, challenge.parse().unwrap());
            if nonce {
                headers.insert(DPOP_NONCE, HeaderValue::from_static("n"));
            }
            wants_nonce(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let wanted = r#"Bearer realm="x", DPoP algs="ES256", error="use_dpop_nonce""#;
        assert!(asked(401, wanted, true));
        assert!(!asked(401, wanted, false), "there is nothing to say again");
        assert!(!asked(403, wanted, true));
        assert!(!asked(401, r#"DPoP error="invalid_token""#, true));
        assert!(!asked(401, r#"Bearer error="use_dpop_nonce""#, true));
    }
}
