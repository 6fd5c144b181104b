//! A client's signing key: ES256 assertions for `private_key_jwt` (RFC 7523 section 3).

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::wait::unix_now;

const KEY_ID: &str = "key-1";

/// A P-256 key pair.
#[derive(Debug)]
pub struct SigningKey(EcdsaKeyPair);

impl Default for SigningKey {
    fn default() -> Self {
        Self::generate()
    }
}

impl SigningKey {
    /// A new one.
    pub fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self(pair.expect("a key pair"))
    }

    /// The private half, as it lies in a file (PKCS#8 in PEM).
    pub fn pem(&self) -> String {
        let der = self.0.to_pkcs8v1().expect("a key that was generated");
        let text = STANDARD.encode(der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    /// The public half, as a client registers it (RFC 7517).
    pub fn jwks(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let point = self.0.public_key().as_ref();
        let coordinate =
            |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).expect("65 bytes"));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": coordinate(1), "y": coordinate(33)}]})
    }

    /// An assertion of this client for this audience, with a `jti` of its own.
    pub fn assertion(&self, client_id: &str, audience: &str) -> String {
        let now = unix_now();
        self.sign(
            &json!({"iss": client_id, "sub": client_id, "aud": audience, "jti": random(),
            "iat": now, "exp": now + 60}),
        )
    }

    /// A proof of this key for one request (RFC 9449 section 4.2).
    pub fn proof(&self, method: &str, url: &str) -> String {
        let jwk = self.jwks()["keys"][0].clone();
        let header = json!({"alg": "ES256", "typ": "dpop+jwt",
            "jwk": {"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"]}});
        let claims = json!({"htm": method, "htu": url, "jti": random(), "iat": unix_now()});
        self.sign_as(&header, &claims)
    }

    /// A JWT with any claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(
            &json!({"alg": "ES256", "typ": "JWT", "kid": KEY_ID}),
            claims,
        )
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
        format!("{signed}.{signature}")
    }
}

/// Sixteen random bytes.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}
