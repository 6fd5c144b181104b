//! A connection's client certificate, as `status`, `why` and `doctor` tell of it. Nothing of its key is told.

use authkeeper::{http::CertificateFacts, runtime::CertificateStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::output::minute;

/// So long ahead a person is told.
const AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What a client certificate means for the calls of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Good(String),
    /// It works, and will not for long.
    Soon(String),
    /// Servers refuse it, or there is none to show.
    Bad(String),
}

impl Standing {
    pub(super) fn of(certificate: &CertificateStatus, now: Timestamp) -> Self {
        let facts = match &certificate.found {
            Ok(facts) => facts,
            Err(unusable) => {
                return Self::Bad(format!("its client certificate can't be used: {unusable}"));
            }
        };
        let (subject, ends) = (&facts.subject, minute(facts.not_after));
        if now >= facts.not_after {
            return Self::Bad(format!("its client certificate {subject} ended at {ends}"));
        }
        if now < facts.not_before {
            let begins = minute(facts.not_before);
            let what = format!("its client certificate {subject} is not good before {begins}");
            return Self::Bad(what);
        }
        if certificate.token_of_another {
            let what = format!(
                "its access token is bound to another client certificate than {subject}, which was replaced since; the next \
                 refused call refreshes it"
            );
            return Self::Soon(what);
        }
        if facts.not_after.duration_since(now) <= ahead(facts) {
            return Self::Soon(format!("its client certificate {subject} ends at {ends}"));
        }
        Self::Good(format!(
            "its client certificate {subject} is good until {ends}"
        ))
    }

    /// The sentence, without a full stop.
    pub(super) fn said(&self) -> &str {
        match self {
            Self::Good(said) | Self::Soon(said) | Self::Bad(said) => said,
        }
    }
}

/// What a person does about it.
pub(super) fn fix(certificate: &CertificateStatus) -> String {
    let files = &certificate.files;
    let cert = files.cert.display();
    if files.cert == files.key {
        return format!("renew it in {cert}, which is read again for each connection");
    }
    let key = files.key.display();
    format!("renew it in {cert} and {key}, which are read again for each connection")
}

/// A certificate that lives for a day is renewed within the day: it is late once a quarter of its time is left.
fn ahead(facts: &CertificateFacts) -> SignedDuration {
    let whole = facts.not_after.duration_since(facts.not_before);
    AHEAD.min(whole / 4)
}

/// In the shape that scripts may rely on.
pub(super) fn json(certificate: &CertificateStatus) -> Value {
    let facts = certificate.found.as_ref().ok();
    json!({
        "cert_file": certificate.files.cert,
        "key_file": certificate.files.key,
        "subject": facts.map(|facts| &facts.subject),
        "not_before": facts.map(|facts| facts.not_before),
        "not_after": facts.map(|facts| facts.not_after),
        "thumbprint": facts.map(|facts| &facts.thumbprint),
        "error": certificate.found.as_ref().err().map(ToString::to_string),
    })
}

#[cfg(test)]
mod tests {
    use authkeeper::http::{CertificateFiles, UnusableCertificate};

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + hours * 3_600).unwrap()
    }

    fn status(hours: i64) -> CertificateStatus {
        CertificateStatus {
            files: CertificateFiles {
                cert: "/run/tls.crt".into(),
                key: "/run/tls.key".into(),
            },
            found: Ok(CertificateFacts {
                thumbprint: "t".to_owned(),
                subject: "CN=agent".to_owned(),
                not_before: at(0),
                not_after: at(hours),
            }),
            token_of_another: false,
        }
    }

    #[test]
    fn an_end_is_told_ahead_by_how_long_it_lives() {
        let year = 365 * 24;
        for (lives, now, said) in [
            (24, 1, "is good until"),
            (24, 17, "is good until"),
            (24, 18, "ends at"),
            (24, 24, "ended at"),
            (year, year - 15 * 24, "is good until"),
            (year, year - 14 * 24, "ends at"),
            (24, -1, "is not good before"),
        ] {
            let standing = Standing::of(&status(lives), at(now));
            let words = format!("its client certificate CN=agent {said}");
            assert!(standing.said().starts_with(&words), "{standing:?}");
        }
    }

    #[test]
    fn what_can_not_be_shown_is_bad_and_a_token_of_another_heals() {
        let mut lost = status(24);
        lost.found = Err(UnusableCertificate::Key {
            file: "/run/tls.key".into(),
            why: "it is gone".to_owned(),
        });
        let standing = Standing::of(&lost, at(1));
        assert!(matches!(standing, Standing::Bad(_)), "{standing:?}");
        assert!(standing.said().contains("/run/tls.key: it is gone"));
        let mut replaced = status(24);
        replaced.token_of_another = true;
        let standing = Standing::of(&replaced, at(1));
        assert!(matches!(standing, Standing::Soon(_)), "{standing:?}");
    }
}
