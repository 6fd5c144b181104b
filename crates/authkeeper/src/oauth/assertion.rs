//! Client assertions (RFC 7523 §2.2 and §3): a short-lived statement signed with the client's private key.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::jwt;
use crate::{model::ClientRegistration, platform::clock::Seams, secret::SecretString};

/// How long an assertion may be shown by the provider's clock, as far as that is known.
const LIFETIME: Duration = Duration::from_mins(1);
/// How far two clocks may differ that nobody has compared: an assertion of ours is dated so far back, and one that was given
/// to us counts as good so much longer, and so much earlier. It is well below [`LIFETIME`].
const ALLOWANCE: Duration = Duration::from_secs(20);

/// The private key can't sign.
#[derive(Debug, thiserror::Error)]
#[error(
    "the private key of client {client_id} can't sign: it must be an RSA, P-256, P-384 or Ed25519 key in PEM (PKCS#8)"
)]
pub struct AssertionError {
    /// Whose key it is.
    pub client_id: String,
}

/// A token that was given to us in a file can't be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GivenError {
    /// The file can't be read.
    #[error("{file} can't be read: {why}")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system said.
        why: String,
    },
    /// Its path can't be kept for those who read it again.
    #[error("the path {file} is not UTF-8 and can't be kept")]
    OddPath {
        /// Which file, as far as it can be shown.
        file: String,
    },
    /// It holds something else: it may be half written.
    #[error("{file} does not hold one JWT")]
    NoJwt {
        /// Which file.
        file: String,
    },
    /// It holds nothing that can be a token.
    #[error("{file} does not hold one token")]
    NoToken {
        /// Which file.
        file: String,
    },
    /// It is over, so that it is not even sent.
    #[error(
        "the JWT in {file} ended at {ended}; whatever writes that file has not written a new one"
    )]
    Expired {
        /// Which file.
        file: String,
        /// When it ended.
        ended: Timestamp,
    },
    /// It is not good yet, so that it is not even sent.
    #[error(
        "the JWT in {file} is good from {begins} on only; the clock of this machine or of its issuer may be wrong"
    )]
    NotYet {
        /// Which file.
        file: String,
        /// When it begins.
        begins: Timestamp,
    },
}

/// No token that is given in a file is longer.
pub(crate) const LONGEST: u64 = 64 * 1024;

/// The JWT that a file holds, alone: good at `now`, as far as it says so itself (`exp`, `nbf` and `iat`, RFC 7519 §4.1.4 to
/// §4.1.6). Its signature is for the server that it is shown to.
pub(crate) fn given(
    path: &Path,
    content: &[u8],
    now: Timestamp,
) -> Result<SecretString, GivenError> {
    let file = || path.display().to_string();
    let token = given_token(path, content)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "its own claims are read, not printed"
    )]
    let claims = jwt::claims(token.expose()).ok_or_else(|| GivenError::NoJwt { file: file() })?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole seconds are enough, and what is beyond them saturates"
    )]
    let second = |name: &str| Some(claims.get(name)?.as_f64()? as i64);
    let (now, allowance) = (now.as_second(), allowance());
    if let Some(ends) = second("exp").filter(|ends| ends.saturating_add(allowance) <= now) {
        return Err(GivenError::Expired {
            file: file(),
            ended: Timestamp::from_second(ends).unwrap_or(Timestamp::MIN),
        });
    }
    let begins = second("nbf").max(second("iat"));
    if let Some(begins) = begins.filter(|begins| begins.saturating_sub(allowance) > now) {
        return Err(GivenError::NotYet {
            file: file(),
            begins: Timestamp::from_second(begins).unwrap_or(Timestamp::MAX),
        });
    }
    Ok(token)
}

fn allowance() -> i64 {
    ALLOWANCE.as_secs().cast_signed()
}

/// The token that a file holds, alone.
pub(crate) fn given_token(path: &Path, content: &[u8]) -> Result<SecretString, GivenError> {
    let text = std::str::from_utf8(content)
        .map(str::trim)
        .unwrap_or_default();
    let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| text.to_owned().into())
        .ok_or_else(|| GivenError::NoToken {
            file: path.display().to_string(),
        })
}

/// Signs an assertion that nobody has seen before (`jti`), dated by the provider's clock, which is `skew` seconds ahead of
/// ours.
pub(super) fn sign(
    registration: &ClientRegistration,
    audience: &str,
    (seams, skew): (&Seams, i64),
) -> Result<SecretString, AssertionError> {
    let unusable = || AssertionError {
        client_id: registration.client_id.as_str().to_owned(),
    };
    let pem = registration.private_key.as_ref().ok_or_else(unusable)?;
    let now = seams.clock.now().wall.as_second().saturating_add(skew);
    let ends = now.saturating_add(LIFETIME.as_secs().cast_signed());
    let client_id = registration.client_id.as_str();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience,
        "iat": now.saturating_sub(allowance()), "exp": ends, "jti": seams.random_id(),
    });
    let signed = keys(pem).into_iter().find_map(|(algorithm, key)| {
        let mut header = Header::new(algorithm);
        header.kid.clone_from(&registration.key_id);
        jsonwebtoken::encode(&header, &claims, &key).ok()
    });
    signed.map(SecretString::from).ok_or_else(unusable)
}

/// Every way in which this text is a key; a signature with the wrong curve fails and the next is tried.
fn keys(pem: &SecretString) -> Vec<(Algorithm, EncodingKey)> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the key signs; only the signature leaves"
    )]
    let pem = pem.expose().as_bytes();
    let elliptic = EncodingKey::from_ec_pem(pem).ok();
    let of = |algorithm, key: Option<EncodingKey>| key.map(|key| (algorithm, key));
    let all = [
        of(Algorithm::ES256, elliptic.clone()),
        of(Algorithm::ES384, elliptic),
        of(Algorithm::EdDSA, EncodingKey::from_ed_pem(pem).ok()),
        of(Algorithm::RS256, EncodingKey::from_rsa_pem(pem).ok()),
    ];
    all.into_iter().flatten().collect()
}

/// Whether a key can sign, asked before it is kept.
pub fn check(registration: &ClientRegistration, seams: &Seams) -> Result<(), AssertionError> {
    sign(registration, registration.issuer.as_str(), (seams, 0)).map(drop)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests read what is sent")]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::model::{ClientAuthMethod, ClientId, Issuer, RegistrationSource};

    /// Made for these tests with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.
    const P256: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgo3mfpWhw51WME2gP\n\
        rBn4Qv360v6+5VPowNbs+VHNZ8OhRANCAARv5KuXZP4xYGLxiAEueK/oWeOlxEb0\n\
        4Sb77JI0S/MubaB3TXlHBz0avQ2WtOpioe1Rw7SkGvdKf1X8QCHqYgLv\n\
        -----END PRIVATE KEY-----\n";
    const P384: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDnDflLugmgeGhlS860\n\
        wyU5zcd00qwuyfq+JTkjIHLHaPsuZM9NejeHOivtC6EqENOhZANiAAQ16NWpuzY3\n\
        gRPNDnAMetH29MZShG1XEZn1Zs3UOaGyGkJJKywkRqJwAYDsEPYERwHRJBunvvAI\n\
        lmN7EXFAErWs9hQOA3ffeo1kvHHWtDLAIthHIUu7PbJtpvkS3lpAox8=\n\
        -----END PRIVATE KEY-----\n";
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIL2FNmiDl4oicPAbayDbM3dLVpaUD/rcEMCg0NC3DhEF\n\
        -----END PRIVATE KEY-----\n";
    const RSA: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCRwl3R/NBOuyNj\n\
        SQQUL4W3oAsUIOXflJTgA+vCO9F5cwzCeF6a4f3FbMjRdnIIUn4DzjzMvSOxlF9j\n\
        +urPv/qlxjC0Lia4CHvRXM9373HO051HcHPyn1zAl1ssU8MNb6tTPIar+j61XOIT\n\
        6WoXSxqppQUcak5J5JPjPJWq4NlliyiTYfgtZxnjvmg300xKJfdgIVgwNrGAuxr7\n\
        SZ6r9T4X7pGXXDaL8hJgMqlrv14XjAogbw5yGnoA523mwzt7kWUwbh0kgnL2cVLr\n\
        2TIW5w15CNq+mogxgNa11Yre/q17YNOij+KP9DRvMsNORTjuAFekuIUGYE12PNR5\n\
        nL4eIUzxAgMBAAECggEAAoMszFI4c7713P/UxyO9HY8hdjMp96Gy0ANbEP5E6Ips\n\
        Gz4iS4wX1yCh+9dpygzg2SA49Mm1Cm95CAIQHneqJEXAPo0M/L8kd3HZgxS/pLI0\n\
        eSyDZx+tljBczd6aE3U9t1cpGeB/gX2B5fvo6MK1rPihEMj1wAAlmvw/79jzY62i\n\
        IvILSK4r+u7odD5aNpCD/f9VQMytQFHr4FCeBsV/HtCGNyOWZ+eiZ856yWgAADaU\n\
        KjR/sV+jFFg0wFpUQi1NPmj5EYzJXrhLpYVDGAg/qvwTRoMgt2fmh56WJTR8BMDu\n\
        Dm9UNMeVNUztmGhAX/2nuMdA1xBfIikl5PGy4u0DVQKBgQDD2qXJgLegPoWf/UYf\n\
        SN3TjOqIxxOQKb4iKDC8OolKqEHZdI857ESK5Hx3xyfBZqqOKucUnRS1yC1UCCHJ\n\
        YDlsAU7inUy7GUhfn37TVfP6Rh24sYNLod2f79X6//NulDX+nh+lS3PuSaVX7lqJ\n\
        63wg9uS3Es5xCGiTXvnELH1ubQKBgQC+hXCliWynocjtFU9TCIHLvfbDsnPTysPY\n\
        GyukVHwIt+2APj3KNWVhfLt6v3BB+a1oav9CJZmFgIhZPBMgrERLT7gJ/p2FxD6X\n\
        a38QKBD5oD7uH1sOyeC7Im7vxd9GTWdrtpauvgycpEQC8iqG3kAQ1fUg9H9dluQJ\n\
        O9DF+BV2FQKBgCNUV7+nlngzjwszNukBzfIRY2VU8/R3czLaKSBrNsTe4TIG0qdS\n\
        NXMQkFtS85rxmCaZGqIfS9MWzwZviRi4YONYwRAj6+l8QA/vx4L76EznRQlCDDsi\n\
        ccYeD219qj3yQmMxxuecWsdLRaY8+twSPIv9vXhAzjiZmbOr2EZI+D9pAoGASimZ\n\
        cuauxAYnN5qu+Sx7kfrNXtpNWik42RuifmJgsege7GfOF7N3Vl5+gEabBSOSy+2y\n\
        lWYbf6tL6CiJbZOBNiu/ASz61oJQtxKiMIDYMsOdG4ZbJMOS1mWN94n34t7onjZC\n\
        K51RPXx3+QmZYkyLdcJDnGNwXNcKx0lgeF+cww0CgYEAuy/sUB7uiq+b3BvrwVbp\n\
        iHoARFHY25JaM4BYQPm6FDTflM4q91EtifcpAMZy9p578ZbfFZVrZVAaRdF+rxxu\n\
        5d7kGbmP0brVW0KO5KOxPR56LBGMHPGVoz385TbGtur93BaIxKVM2yHEp+exdgse\n\
        BIkOfzffvfKGasv0cMHBXtY=\n\
        -----END PRIVATE KEY-----\n";

    fn client(pem: &str) -> ClientRegistration {
        ClientRegistration {
            private_key: Some(pem.to_owned().into()),
            key_id: Some("k1".to_owned()),
            auth_method: ClientAuthMethod::PrivateKeyJwt,
            ..ClientRegistration::new(
                Issuer::new("https://as.example"),
                ClientId::new("job"),
                RegistrationSource::Given,
            )
        }
    }

    fn part(jwt: &SecretString, index: usize) -> serde_json::Value {
        let part = jwt.expose().split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn each_kind_of_key_signs_with_its_algorithm() {
        for (pem, algorithm) in [
            (P256, "ES256"),
            (P384, "ES384"),
            (ED25519, "EdDSA"),
            (RSA, "RS256"),
        ] {
            let seams = Seams::system();
            let jwt = sign(&client(pem), "https://as.example", (&seams, 0)).unwrap();
            let header = part(&jwt, 0);
            assert_eq!(
                (&header["alg"], &header["kid"]),
                (&json!(algorithm), &json!("k1"))
            );
            let claims = part(&jwt, 1);
            assert_eq!(claims["iss"], claims["sub"]);
            assert_eq!(claims["aud"], "https://as.example");
        }
    }

    #[test]
    fn an_assertion_is_dated_by_the_providers_clock_with_an_allowance() {
        let seams = Seams::system();
        let now = seams.clock.now().wall.as_second();
        for skew in [0, -3_600, 7_200] {
            let jwt = sign(&client(P256), "https://as.example", (&seams, skew)).unwrap();
            let claims = part(&jwt, 1);
            let at = |name: &str| claims[name].as_i64().unwrap() - now - skew;
            // A second may pass while it is signed.
            assert!((-20..=-18).contains(&at("iat")), "{claims}");
            assert!((60..=62).contains(&at("exp")), "{claims}");
            assert_eq!(claims["aud"], "https://as.example", "one string");
            assert_eq!(claims.get("nbf"), None, "what is not said is not too early");
        }
    }

    #[test]
    fn a_file_holds_one_jwt_that_is_still_good_or_none() {
        let now = Timestamp::from_second(1_000).unwrap();
        let jwt = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let read = |text: &str| given(Path::new("/run/jwt"), text.as_bytes(), now);
        let good = jwt(r#"{"exp":981,"nbf":1020,"iat":1020}"#);
        let found = read(&format!("  {good}\r\n")).unwrap();
        assert_eq!(found.expose(), &good);
        assert!(
            read(&jwt("{}")).is_ok(),
            "one that says nothing of its end is the server's to judge"
        );
        for early in [
            r#"{"nbf":1021}"#,
            r#"{"iat":1021,"nbf":1}"#,
            r#"{"nbf":1e300}"#,
        ] {
            let error = read(&jwt(early)).unwrap_err();
            assert!(
                matches!(error, GivenError::NotYet { .. }),
                "{early}: {error}"
            );
        }
        for over in [r#"{"exp":980}"#, r#"{"exp":979.5}"#, r#"{"exp":-1e300}"#] {
            let error = read(&jwt(over)).unwrap_err();
            assert!(
                matches!(error, GivenError::Expired { .. }),
                "{over}: {error}"
            );
            assert!(error.to_string().contains("/run/jwt"));
        }
        for end in 0..good.len() {
            let torn = &good.as_bytes()[..end];
            let found = given(Path::new("f"), torn, now).ok();
            // What is cut within the signature can't be told from a whole one.
            assert!(found.is_none() || end > good.rfind('.').unwrap(), "{end}");
        }
        for bad in ["<html>", "two words", &format!("{good}\n{good}"), "a.b.c"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(given(Path::new("f"), &[0xff, 0xfe], now).is_err());
    }

    #[test]
    fn no_two_assertions_are_the_same_and_no_other_text_is_a_key() {
        let seams = Seams::system();
        let jti = || part(&sign(&client(P256), "a", (&seams, 0)).unwrap(), 1)["jti"].clone();
        assert_ne!(jti(), jti());
        for bad in [
            "",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "secret",
        ] {
            let error = sign(&client(bad), "a", (&seams, 0)).unwrap_err();
            assert!(error.to_string().contains("PKCS#8"));
        }
    }
}
