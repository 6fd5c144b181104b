use std::time::Duration;

use jiff::Timestamp;

use super::{GrantRequest, flow_of};
use crate::{
    model::{
        BootId, BootStamp, ClientId, ClientRegistration, GrantType, Issuer, LifetimeSource, Moment,
        Quirks, RefreshToken, RegistrationSource, Renewal, Resource, Scope, TokenSet,
    },
    oauth::client_auth::OurClient,
    platform::clock::Seams,
    secret::SecretString,
};

/// The body of the request that a flow makes; none if it makes none.
fn body(grant_type: GrantType, shown: Option<&str>) -> Option<String> {
    body_with(grant_type, shown, vec![])
}

/// The same, of a client with these parameters.
pub(super) fn body_with(
    grant_type: GrantType,
    shown: Option<&str>,
    parameters: Vec<(String, String)>,
) -> Option<String> {
    let registration = ClientRegistration::new(
        Issuer::new("https://as.example"),
        ClientId::new("c"),
        RegistrationSource::Given,
    );
    let our = OurClient {
        registration: &registration,
        quirks: &Quirks::default(),
        audience: None,
        seams: &Seams::system(),
        skew: 0,
    };
    let shown: Option<SecretString> = shown.map(|text| text.to_owned().into());
    let asked = GrantRequest {
        client: &our.proof().unwrap().with_parameters(parameters),
        shown: shown.as_ref(),
        scope: Some(&Scope::new("a b")),
        resource: Some(&Resource::new("https://r.example")),
    };
    let request = flow_of(grant_type).request(&asked)?;
    Some(String::from_utf8(request.body.to_vec()).unwrap())
}

const REST: &str = "&scope=a+b&resource=https%3A%2F%2Fr.example&client_id=c";

#[test]
fn a_flow_is_that_of_its_grant_type() {
    for grant_type in GrantType::ALL {
        assert_eq!(flow_of(*grant_type).grant_type(), *grant_type);
    }
}

#[test]
fn each_flow_shows_what_its_grant_type_is_renewed_by() {
    let bearer = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=s";
    let rows = [
        (
            GrantType::AuthorizationCode,
            Some("grant_type=refresh_token&refresh_token=s"),
        ),
        (
            GrantType::DeviceCode,
            Some("grant_type=refresh_token&refresh_token=s"),
        ),
        (
            GrantType::ClientCredentials,
            Some("grant_type=client_credentials"),
        ),
        (GrantType::JwtBearer, Some(bearer)),
        (GrantType::IdJag, Some(bearer)),
        (GrantType::ApiKey, None),
    ];
    for (grant_type, expected) in rows {
        let expected = expected.map(|fields| format!("{fields}{REST}"));
        assert_eq!(body(grant_type, Some("s")), expected, "{grant_type:?}");
    }
}

#[test]
fn without_a_secret_only_our_client_itself_asks() {
    for grant_type in GrantType::ALL {
        let asks = grant_type.renewal() == Renewal::ClientItself;
        assert_eq!(body(*grant_type, None).is_some(), asks, "{grant_type:?}");
    }
}

#[test]
fn a_stray_refresh_token_is_dropped_where_none_is_used() {
    let issued = Moment {
        wall: Timestamp::UNIX_EPOCH,
        boot: BootStamp {
            id: BootId(1),
            since: Duration::ZERO,
        },
    };
    for grant_type in GrantType::ALL {
        let tokens = TokenSet {
            access_token: "a".to_owned().into(),
            refresh_token: Some(RefreshToken {
                secret: "r".to_owned().into(),
                expires_at: None,
            }),
            scope: None,
            issued,
            lifetime: Duration::from_mins(1),
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        };
        let kept = flow_of(*grant_type).reply(tokens).refresh_token.is_some();
        let wanted = !matches!(
            grant_type.renewal(),
            Renewal::ClientItself | Renewal::AssertionFile
        );
        assert_eq!(kept, wanted, "{grant_type:?}");
    }
}
