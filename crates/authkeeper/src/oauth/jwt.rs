//! What a token says of itself if it happens to be a JWT. It came from its issuer over TLS and nothing rests on its
//! signature: it is compared with what the same issuer said before, and is a hint where nothing else is told.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{model::Account, secret::SecretString};

/// Its claims; none if it is no JWT.
pub(super) fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claims).filter(Value::is_object)
}

/// Whose it is.
pub(super) fn account(claims: &Value) -> Option<Account> {
    let text = |key: &str| claims.get(key).and_then(Value::as_str);
    Some(Account::new(text("iss"), text("sub")?))
}

/// Whom it is for (RFC 7519 §4.1.3: one name, or a list of them).
pub(super) fn audience(claims: &Value) -> BTreeSet<String> {
    let names = match claims.get("aud") {
        Some(Value::Array(names)) => names.iter().collect(),
        Some(name) => vec![name],
        None => vec![],
    };
    let names = names.into_iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// The thumbprint of the client certificate that an access token is bound to, where it says so itself.
pub(crate) fn bound_certificate(token: &SecretString) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the token's own claims are read, not printed"
    )]
    let claims = claims(token.expose())?;
    certificate(&claims)
}

/// RFC 8705 §3.1.
fn certificate(claims: &Value) -> Option<String> {
    let thumbprint = claims.get("cnf")?.get("x5t#S256")?.as_str()?;
    Some(thumbprint.trim_end_matches('=').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_of_a_jwt_and_of_nothing_else() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://a","sub":"7","aud":["x","y"]}"#);
        let found = claims(&format!("h.{payload}.s")).unwrap();
        assert_eq!(account(&found), Some(Account::new(Some("https://a"), "7")));
        assert_eq!(audience(&found).len(), 2);
        let one: Value = serde_json::json!({"aud": "x"});
        assert_eq!(audience(&one), BTreeSet::from(["x".to_owned()]));
        assert_eq!(account(&one), None, "nobody is named");
        let bound = serde_json::json!({"cnf": {"x5t#S256": "dGh1bWI=", "jkt": "x"}});
        assert_eq!(certificate(&bound).as_deref(), Some("dGh1bWI"));
        assert_eq!(certificate(&one), None);
        let list = URL_SAFE_NO_PAD.encode("[1]");
        for no in ["", "opaque", "a.b", "a.!!.c", &format!("h.{list}.s")] {
            assert!(claims(no).is_none(), "{no}");
        }
    }
}
