use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use http::{HeaderMap, StatusCode};
use jiff::{Timestamp, civil::Date};

use super::*;
use crate::{
    http::Reply,
    model::ReplayRule,
    oauth::classify::{Outcome, classify},
};

/// No fact was read later than this. Set it when you read one.
const LAST_READ: Date = jiff::civil::date(2026, 11, 29);

/// What the product promises to know.
const PROMISED: &[&str] = &[
    "github",
    "github-app",
    "google",
    "microsoft",
    "slack",
    "notion",
    "atlassian",
    "linear",
    "okta",
    "auth0",
    "keycloak",
    "salesforce",
    "gitlab",
    "dropbox",
    "hubspot",
    "zoom",
    "figma",
    "asana",
    "sentry",
    "stripe",
    "cloudflare",
    "quickbooks",
    "xero",
    "x",
    "shopify",
    "zendesk",
    "box",
    "linkedin",
    "amazon-sp-api",
    "airtable",
    "zoho",
    "spotify",
    "calendly",
    "ebay",
    "withings",
    "twitch",
    "strava",
    "fitbit",
    "yahoo",
    "stack-exchange",
    "reddit",
    "cognito",
    "azure-ad-b2c",
];

#[test]
fn every_file_can_be_read_and_has_its_own_name() {
    for (name, text) in PROVIDERS {
        let entry: Entry = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(entry.name, *name);
    }
    for (name, text) in SOFTWARE {
        let server: Software =
            toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(server.name, *name);
    }
}

#[test]
fn every_file_in_the_folders_is_compiled_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalogue");
    for (folder, compiled) in [("providers", PROVIDERS), ("software", SOFTWARE)] {
        let files = fs::read_dir(root.join(folder)).unwrap();
        let there: BTreeSet<String> = files
            .map(|file| {
                file.unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        let named: BTreeSet<String> = compiled
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        assert_eq!(there, named, "{folder}");
    }
}

#[test]
fn every_promised_provider_is_there() {
    for name in PROMISED {
        assert!(named(name).is_some(), "{name}");
    }
}

#[test]
fn names_and_aliases_and_hosts_mean_one_provider() {
    let mut names = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    for entry in all() {
        for name in std::iter::once(&entry.name).chain(&entry.aliases) {
            assert!(names.insert(name), "{name} is there twice");
            assert_eq!(named(&name.to_uppercase()).unwrap().name, entry.name);
        }
        for host in &entry.hosts {
            assert!(hosts.insert(host), "{host} is there twice");
            assert_eq!(*host, host.to_ascii_lowercase());
        }
    }
}

/// The parts of an entry that say something, so that something must vouch for them.
fn facts_of(entry: &Entry) -> Vec<Fact> {
    let optional = [
        (Fact::Errors, !entry.errors.is_empty()),
        (Fact::ApiKey, entry.api_key.is_some()),
        (Fact::Mcp, entry.api.mcp.is_some()),
        (
            Fact::Api,
            entry.api.base.is_some() || entry.api.check.is_some(),
        ),
        (Fact::Lifetimes, entry.lifetimes.access != Limit::Unknown),
        (
            Fact::Token,
            entry.token.says_expires_in != TriState::Unknown,
        ),
    ];
    let said = optional
        .iter()
        .filter(|(_, is_said)| *is_said)
        .map(|(fact, _)| *fact);
    let always = [Fact::Endpoints, Fact::Client, Fact::Scopes, Fact::Rotation];
    always.into_iter().chain(said).collect()
}

#[test]
fn no_fact_lacks_a_dated_source() {
    for entry in all() {
        for fact in facts_of(entry) {
            let vouched = entry
                .sources
                .iter()
                .any(|source| source.supports.contains(&fact));
            assert!(vouched, "{}: no source for {fact}", entry.name);
        }
    }
    let sources = all().iter().map(|e| (&e.name, &e.sources));
    let servers = software().iter().map(|s| (&s.name, &s.sources));
    for (name, sources) in sources.chain(servers) {
        // The replay rule decides over grants: what nobody has read is not enough for it.
        let read =
            |s: &Source| s.kind != SourceKind::Unread && s.supports.contains(&Fact::Rotation);
        assert!(
            sources.iter().any(read),
            "{name}: no source for its rotation"
        );
    }
    let sources = all().iter().map(|e| (&e.name, &e.sources));
    let servers = software().iter().map(|s| (&s.name, &s.sources));
    for (name, sources) in sources.chain(servers) {
        for source in sources {
            assert!(
                source.date <= LAST_READ,
                "{name}: {} is in the future",
                source.date
            );
            assert!(
                !source.supports.is_empty(),
                "{name}: {} supports nothing",
                source.url
            );
            assert!(source.url.starts_with("https://"), "{name}: {}", source.url);
        }
    }
}

#[test]
fn a_careless_replay_rule_needs_a_reason_in_its_own_words() {
    for entry in all() {
        let rotation = &entry.rotation;
        match rotation.replay {
            // Only where the same token stays good anyway.
            ReplayRule::Harmless => assert!(
                rotation.rotates == Rotates::Never || !rotation.note.is_empty(),
                "{}: harmless, but why?",
                entry.name
            ),
            ReplayRule::Grace(_) | ReplayRule::TwoGenerations | ReplayRule::Refused => {
                assert!(!rotation.note.is_empty(), "{}: which setting?", entry.name);
            }
            ReplayRule::Strict | ReplayRule::Unknown => {}
        }
        let unknown = rotation.rotates == Rotates::Unknown;
        assert!(
            !unknown || rotation.replay == ReplayRule::Unknown,
            "{}",
            entry.name
        );
    }
}

fn examples(entry: &Entry) -> BTreeMap<String, String> {
    let answers = entry.placeholders.iter();
    answers
        .map(|asked| (asked.name.clone(), asked.example.clone()))
        .collect()
}

#[test]
fn every_address_is_an_https_url_once_it_is_filled() {
    for entry in all() {
        let filled = entry.fill(&examples(entry)).unwrap();
        let metadata = filled.metadata.clone();
        let endpoints = metadata.iter().flat_map(|m| {
            let all = [
                &m.authorization_endpoint,
                &m.token_endpoint,
                &m.revocation_endpoint,
                &m.introspection_endpoint,
            ];
            all.into_iter().flatten().cloned()
        });
        let fixed = [
            Some(entry.docs.clone()),
            Some(filled.issuer.clone()),
            entry.client.console_url.clone(),
            entry.api_key.as_ref().and_then(|key| key.url.clone()),
            filled.discovery.clone(),
            filled.refresh.clone(),
            filled.device_authorization.clone(),
            filled.userinfo.clone(),
            filled.api_base.clone(),
            filled.check.clone(),
            filled.mcp.clone(),
        ];
        for url in fixed.into_iter().flatten().chain(endpoints) {
            // A console's address may have a fragment; it is opened, never called.
            let called = url.split('#').next().unwrap();
            let parsed = HttpUrl::parse(called).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            assert!(
                parsed.as_str().starts_with("https://"),
                "{}: {url}",
                entry.name
            );
            assert!(!url.contains(['{', '}']), "{}: {url}", entry.name);
        }
        let own = metadata.is_some_and(|m| m.authorization_endpoint.is_some());
        assert!(
            own || filled.discovery.is_some(),
            "{}: no way in",
            entry.name
        );
    }
}

#[test]
fn an_entry_is_recognised_by_its_own_endpoints() {
    // GitHub Apps share the issuer of OAuth Apps; a Keycloak may be anywhere; Cognito's issuer is one of AWS's hosts.
    let by_name_only = ["github-app", "keycloak", "cognito"];
    for entry in all()
        .iter()
        .filter(|e| !by_name_only.contains(&e.name.as_str()))
    {
        let asked = entry
            .placeholders
            .iter()
            .any(|p| p.name == "host" || p.default.is_some());
        let values = if asked {
            BTreeMap::new()
        } else {
            examples(entry)
        };
        let values = if entry.missing(&values).is_empty() {
            values
        } else {
            examples(entry)
        };
        let filled = entry.fill(&values).unwrap();
        let token = filled.metadata.and_then(|m| m.token_endpoint);
        for url in std::iter::once(filled.issuer).chain(token) {
            let found = recognise(&url).map(|e| e.name.as_str());
            assert_eq!(found, Some(entry.name.as_str()), "{url}");
        }
    }
}

#[test]
fn look_alikes_are_nobody() {
    let lures = [
        "https://evil-github.com",
        "https://github.com.evil.com",
        "https://github.com@evil.com/login",
        "https://evil.com/github.com",
        "https://evil.com/?https://github.com",
        "https://evil.com#github.com",
        "https://githubxcom",
        "https://sub.github.com",
        "https://github.com.",
        "https://okta.com",
        "https://evilokta.com",
        "https://.okta.com",
        "https://example.okta.com.evil.com",
        "https://example.okta.com\\.evil.com",
        "http://github.com",
        "github.com",
        "javascript://github.com",
        "",
    ];
    for lure in lures {
        let found = recognise(lure).map(|entry| &entry.name);
        assert_eq!(found, None, "{lure}");
    }
}

#[test]
fn the_whole_host_is_compared_without_regard_to_case() {
    for (url, name) in [
        ("https://GitHub.com/login/oauth", "github"),
        ("https://api.github.com:443/user", "github"),
        ("https://example.okta.com/oauth2/default", "okta"),
        ("https://a.b.okta.com", "okta"),
        ("https://login.microsoftonline.com/common/v2.0", "microsoft"),
    ] {
        assert_eq!(recognise(url).unwrap().name, name, "{url}");
    }
}

#[test]
fn an_mcp_server_is_no_issuer_of_the_api() {
    for entry in all() {
        let Some(mcp) = &entry.api.mcp else { continue };
        assert_eq!(recognise_mcp(mcp).unwrap().name, entry.name);
        let by_host = recognise(mcp).map(|found| &found.name);
        assert_eq!(by_host, None, "{mcp}: its grants have habits of their own");
    }
    assert!(recognise_mcp("https://mcp.notion.com.evil.com/mcp").is_none());
}

#[test]
fn what_is_missing_is_said_all_at_once() {
    let keycloak = named("keycloak").unwrap();
    let error = keycloak.fill(&BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "keycloak needs host, realm");
    let some = BTreeMap::from([("realm".to_owned(), "work".to_owned())]);
    assert_eq!(keycloak.missing(&some)[0].name, "host");
    let wrong = BTreeMap::from([("tennant".to_owned(), "x".to_owned())]);
    let error = named("microsoft").unwrap().fill(&wrong).unwrap_err();
    assert!(matches!(error, FillError::NotAsked { .. }), "{error}");
}

#[test]
fn defaults_and_answers_make_endpoints() {
    let gitlab = named("gitlab").unwrap();
    let metadata = gitlab.fill(&BTreeMap::new()).unwrap().metadata.unwrap();
    assert_eq!(
        metadata.token_endpoint.unwrap(),
        "https://gitlab.com/oauth/token"
    );
    assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
    let here = BTreeMap::from([("host".to_owned(), "git.example.com:8443".to_owned())]);
    let filled = gitlab.fill(&here).unwrap();
    assert_eq!(filled.issuer, "https://git.example.com:8443");
    assert_eq!(
        filled.device_authorization.unwrap(),
        "https://git.example.com:8443/oauth/authorize_device"
    );
    let okta = named("okta").unwrap();
    let filled = okta.fill(&examples(okta)).unwrap();
    assert!(filled.metadata.is_none(), "discovery alone");
    assert_eq!(filled.issuer, "https://example.okta.com/oauth2/default");
}

#[test]
fn what_is_odd_about_token_requests_reaches_the_quirks() {
    let quirks = |name: &str| {
        let entry = named(name).unwrap();
        let filled = entry.fill(&examples(entry)).unwrap();
        filled.metadata.unwrap().quirks
    };
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let withings = quirks("withings");
    let action = pair("action", "requesttoken");
    let habits = |name: &str| named(name).unwrap().habits();
    assert_eq!(habits("withings").tokens_in.as_deref(), Some("body"));
    assert_eq!(withings.refresh_parameters, action);
    assert_eq!(withings.exchange_parameters, action);
    let shopify = quirks("shopify");
    assert_eq!(shopify.exchange_parameters, pair("expiring", "1"));
    assert!(shopify.refresh_parameters.is_empty());
    for name in ["ebay", "azure-ad-b2c"] {
        assert!(habits(name).scope_in_refresh, "{name}");
    }
    assert!(!habits("withings").scope_in_refresh);
}

/// What a provider publishes of itself goes before the entry, and has no quirks: such an entry can't have any.
#[test]
fn an_entry_with_quirks_of_its_token_requests_is_not_connected_by_discovery() {
    for entry in all().iter().filter(|e| e.endpoints.discovery.is_some()) {
        let token = &entry.token;
        let quiet = token.refresh_parameters.is_empty() && token.exchange_parameters.is_empty();
        assert!(quiet, "{}", entry.name);
    }
}

#[test]
fn an_address_that_ends_is_not_the_one_in_use() {
    let mut ends = 0;
    for entry in all() {
        for retired in &entry.endpoints.retired {
            let url = Some(&retired.url);
            assert_ne!(url, entry.endpoints.token.as_ref(), "{}", entry.name);
            assert!(entry.endpoints.token.is_some(), "{}", entry.name);
            ends += 1;
        }
    }
    assert!(ends > 0, "HubSpot's first token endpoint");
}

#[test]
fn stored_endpoints_of_an_older_entry_are_brought_up_to_date() {
    let hubspot = named("hubspot").unwrap();
    let today = hubspot.fill(&BTreeMap::new()).unwrap().metadata.unwrap();
    let mut stored = today.clone();
    stored.token_endpoint = Some(hubspot.endpoints.retired[0].url.clone());
    stored.quirks = crate::model::Quirks::default();
    assert_eq!(hubspot.brought_up_to_date(stored.clone()), today);
    stored.issuer = "https://elsewhere.example".to_owned();
    let elsewhere = hubspot.brought_up_to_date(stored.clone());
    assert_eq!(elsewhere, stored, "not its server");
    let zendesk = named("zendesk").unwrap();
    let own = zendesk.fill(&examples(zendesk)).unwrap().metadata.unwrap();
    assert_eq!(
        zendesk.brought_up_to_date(own.clone()),
        own,
        "a person's answers"
    );
}

#[test]
fn an_answer_can_not_lead_elsewhere() {
    let cases = [
        ("gitlab", "host", "evil.com/x"),
        ("gitlab", "host", "gitlab.com@evil.com"),
        ("gitlab", "host", "https://gitlab.com"),
        ("gitlab", "host", "gitlab.com?x"),
        ("gitlab", "host", "gitlab.com#x"),
        ("gitlab", "host", "gitlab.com\\evil"),
        ("gitlab", "host", "gitlab.com:80@evil.com"),
        ("gitlab", "host", "gitlab.com:"),
        ("gitlab", "host", "gitlab.com:99999"),
        ("gitlab", "host", "-x.com"),
        ("gitlab", "host", "a..b"),
        ("gitlab", "host", ""),
        ("gitlab", "host", "gitläb.com"),
        ("gitlab", "host", "git lab.com"),
        ("gitlab", "host", "{host}"),
        ("microsoft", "tenant", "common/../other"),
        ("microsoft", "tenant", ".."),
        ("microsoft", "tenant", "a%2fb"),
        ("microsoft", "tenant", ""),
        ("cognito", "region", "eu.evil.com"),
        ("cognito", "region", "x.com/"),
    ];
    for (provider, name, value) in cases {
        let entry = named(provider).unwrap();
        let mut values = examples(entry);
        values.insert(name.to_owned(), value.to_owned());
        let error = entry.fill(&values).unwrap_err();
        assert!(
            matches!(error, FillError::Unfit { .. }),
            "{value:?}: {error}"
        );
    }
}

#[test]
fn no_idle_limit_is_so_short_that_it_would_not_be_looked_up() {
    let limits = all().iter().filter_map(|entry| entry.habits().refresh_idle);
    let limits: Vec<_> = limits.collect();
    assert!(limits.len() > 3, "{limits:?}");
    assert!(
        limits
            .iter()
            .all(|limit| *limit >= crate::refresh::SHORTEST_IDLE)
    );
}

fn meaning(outcome: &Outcome) -> Means {
    match outcome {
        Outcome::Transient { .. } | Outcome::Unrecognized { .. } => Means::Retry,
        Outcome::GrantRefused(_) => Means::Reauthorize,
        Outcome::ClientRefused(_) | Outcome::Moved { .. } => Means::Fatal,
        Outcome::RequestRefused(_) => Means::Permission,
        Outcome::Unknown(_) | Outcome::Suspect { .. } => Means::Unknown,
        Outcome::Accepted(_) | Outcome::RefreshTokenAlone(_) => {
            panic!("an error that is an answer")
        }
    }
}

fn body_of(row: &ErrorRow) -> String {
    row.body.clone().unwrap_or_else(|| {
        let text = row.description.as_ref();
        serde_json::json!({ "error": row.code, "error_description": text }).to_string()
    })
}

#[test]
fn every_error_is_classified_as_the_catalogue_says() {
    let entries = all().iter().map(|e| (&e.name, &e.errors));
    let servers = software().iter().map(|s| (&s.name, &s.errors));
    let mut rows = 0;
    let mut misread = Vec::new();
    for (name, errors) in entries.chain(servers) {
        for row in errors {
            let body = body_of(row);
            let reply = Reply {
                status: StatusCode::from_u16(row.status).unwrap(),
                headers: HeaderMap::new(),
                body: body.clone().into(),
            };
            let outcome = classify(&reply, Timestamp::UNIX_EPOCH);
            if meaning(&outcome) != row.means {
                misread.push(format!("{name}: {} {body}", row.status));
            }
            assert!(
                body.contains(&row.code),
                "{name}: {body} has no {}",
                row.code
            );
            rows += 1;
        }
    }
    assert!(rows >= 100, "only {rows} rows");
    assert!(misread.is_empty(), "{misread:#?}");
}

#[test]
fn habits_come_from_the_entry() {
    let habits = |name| named(name).unwrap().habits();
    assert_eq!(
        habits("stripe").default_lifetime,
        Some(Duration::from_hours(1))
    );
    assert_eq!(
        habits("okta").replay,
        ReplayRule::Grace(Duration::from_secs(30))
    );
    assert_eq!(habits("notion").default_lifetime, None);
    assert_eq!(habits("google").replay, ReplayRule::Harmless);
    assert_eq!(habits("gitlab").replay, ReplayRule::Refused);
    // A token that says nothing of its end, from a provider whose tokens don't end, is not believed to end in an hour.
    assert!(habits("github").default_lifetime.unwrap() > Duration::from_hours(24 * 365));
}

#[test]
fn a_slip_of_the_finger_finds_the_name() {
    assert_eq!(similar("githbu").first(), Some(&"github"));
    assert_eq!(similar("gogle").first(), Some(&"google"));
    assert_eq!(similar("Salesfroce").first(), Some(&"salesforce"));
    assert_eq!(similar("conflunce"), ["atlassian"]);
    assert_eq!(similar("micro"), ["microsoft"]);
    assert!(similar("fantasy-football").is_empty());
    assert!(similar("").is_empty());
}

#[test]
fn limits_read_and_print() {
    for (text, printed) in [
        ("30s", "30 s"),
        ("10m", "10 min"),
        ("8h", "8 h"),
        ("90d", "90 d"),
        ("24h", "1 d"),
        ("unlimited", "unlimited"),
    ] {
        assert_eq!(Limit::parse(text).unwrap().to_string(), printed);
    }
    for bad in ["", "h", "1 h", "1w", "-1h", "99999999999999999999d"] {
        assert_eq!(Limit::parse(bad), None, "{bad:?}");
    }
}

#[test]
fn a_word_that_is_none_is_refused() {
    let good = include_str!("providers/figma.toml");
    assert!(toml::from_str::<Entry>(good).is_ok());
    for (from, to) in [
        ("replay = \"harmless\"", "replay = \"fine\""),
        ("rotates = \"never\"", "rotates = \"sometimes\""),
        ("access = \"90d\"", "access = \"90 days\""),
        ("pkce = \"unknown\"", "pkcs = \"unknown\""),
        ("registration = [\"given\"]", "registration = [\"found\"]"),
        ("date = \"2026-11-21\"", "date = \"yesterday\""),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        assert!(toml::from_str::<Entry>(&bad).is_err(), "{to}");
    }
}

#[test]
fn the_page_in_docs_is_the_catalogue() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers.md");
    let wanted = markdown::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &wanted).unwrap();
    }
    let there = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        there == wanted,
        "docs/providers.md is stale; run: UPDATE_DOCS=1 cargo test -p authkeeper --lib catalogue"
    );
}
