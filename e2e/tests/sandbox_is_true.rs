//! The sandbox answers as the real servers do: the same script is played against both, live, and
//! the answers are compared field by field.

use std::time::Duration;

use authkeeper_sandbox::Profile;
use e2e::home::Home;
use e2e::recorder::{Deliberate, Recording, Subject, assert_equal, record};
use e2e::sandbox::Running;
use e2e::servers::Server;

const GRACE: Duration = Duration::from_secs(2);

/// Every profile has every grant.
const MORE: &str = "the sandbox offers more, whatever the profile";

const STRICT: &[Deliberate] = &[
    Deliberate {
        places: &[
            "* / body / id_token",
            "metadata / fields / claim_types_supported",
            "metadata / fields / claims_parameter_supported",
            "metadata / fields / claims_supported",
            "metadata / fields / end_session_endpoint",
            "metadata / fields / id_token_signing_alg_values_supported",
            "metadata / fields / jwks_uri",
            "metadata / fields / request_uri_parameter_supported",
            "metadata / fields / subject_types_supported",
        ],
        reason: "the sandbox is OAuth without OpenID Connect",
    },
    Deliberate {
        places: &[
            "metadata / fields / dpop_signing_alg_values_supported",
            "metadata / fields / pushed_authorization_request_endpoint",
        ],
        reason: "the sandbox has neither DPoP nor pushed requests, whose case is not played either",
    },
    Deliberate {
        places: &[
            "metadata / fields / client_id_metadata_document_supported",
            "metadata / fields / introspection_endpoint_auth_methods_supported",
            "metadata / fields / revocation_endpoint_auth_methods_supported",
        ],
        reason: "the sandbox says what it would also mean by saying nothing, or says no",
    },
    Deliberate {
        places: &["* / begin / body / interval"],
        reason: "the sandbox tells a device how often it may ask: a test chooses that",
    },
    Deliberate {
        places: &[
            "device expired / after its end / body / error",
            "device expired / after its end / body / error_description",
        ],
        reason: "oidc-provider's memory store has lost the code by then; its grant itself says \
                 expired_token, as RFC 8628 section 3.5 does",
    },
];

const DJANGO: &[Deliberate] = &[Deliberate {
    places: &[
        "metadata / fields / device_authorization_endpoint",
        "metadata / fields / response_modes_supported",
        "metadata / fields / token_endpoint_auth_signing_alg_values_supported",
        "metadata / fields / userinfo_endpoint",
    ],
    reason: MORE,
}];

const SINGLE_USE: &[Deliberate] = &[Deliberate {
    places: &[
        "metadata / fields / authorization_response_iss_parameter_supported",
        "metadata / fields / client_id_metadata_document_supported",
        "metadata / fields / device_authorization_endpoint",
        "metadata / fields / introspection_endpoint",
        "metadata / fields / response_modes_supported",
        "metadata / fields / token_endpoint_auth_signing_alg_values_supported",
        "metadata / fields / userinfo_endpoint",
    ],
    reason: MORE,
}];

/// Plays what the real one offers against both at once, and compares.
fn assert_same(real: &Subject<'_>, sandbox: &Subject<'_>, deliberate: &[Deliberate]) {
    let both = |needs| real.offers(needs) && sandbox.offers(needs);
    let offered = |subject: &Subject<'_>| record(subject, |case| case.needs.is_none_or(both));
    let (real, sandbox) = std::thread::scope(|scope| {
        let other = scope.spawn(|| offered(sandbox));
        (offered(real), other.join().expect("the sandbox plays on"))
    });
    print(&real);
    assert_equal(&real, &sandbox, deliberate);
}

/// Shown when the test fails.
#[expect(clippy::print_stderr, reason = "a test's output")]
fn print(recording: &Recording) {
    eprintln!("{recording}");
}

#[test]
fn strict_is_oidc_provider() {
    let home = Home::new();
    let server = Server::oidc_provider(&home.outside(), &[]);
    let sandbox = Running::start(Profile::Strict, Duration::ZERO);
    let real = Subject::oidc_provider(&server);
    assert_same(&real, &Subject::sandbox(&sandbox, &real), STRICT);
}

#[test]
fn grace_is_django_oauth_toolkit() {
    let home = Home::new();
    let grace = GRACE.as_secs().to_string();
    let server = Server::django(&home.outside(), &[("GRACE", &grace)]);
    let sandbox = Running::start(Profile::Grace, GRACE);
    let real = Subject::django(&server, GRACE);
    assert_same(&real, &Subject::sandbox(&sandbox, &real), DJANGO);
}

#[test]
fn single_use_is_fastmcp() {
    let home = Home::new();
    let server = Server::fastmcp(&home.outside(), &[("AT_TTL", "60")]);
    let sandbox = Running::start(Profile::SingleUse, Duration::ZERO);
    let real = Subject::fastmcp(&server);
    assert_same(&real, &Subject::sandbox(&sandbox, &real), SINGLE_USE);
}
