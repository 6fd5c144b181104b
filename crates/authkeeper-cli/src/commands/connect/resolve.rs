//! From what was typed to what is meant. A provider of the catalogue fills in what was left out; what it can't know is
//! asked at the terminal, and without one it is said what to add.

use std::collections::BTreeMap;

use authkeeper::{
    catalogue::{self, Entry, Filled, Loopback},
    http::HttpUrl,
    model::{
        ClientAuthMethod, ClientId, ConnectionName, DpopUse, ExtraHeaders, GrantType, Issuer,
        Presentation, PrincipalId, RegistrationSource, Renewal, Scope, SignInKind,
    },
    oauth::register::GivenClient,
    signin::{ConnectRequest, SignInMethod},
};
use jiff::Timestamp;

use super::{assertion_flags, certificate_flags, typed};
use crate::{
    app::App,
    args::{ClientArgs, ConnectArgs, KeyArgs},
    commands::secret_input::{self, ask},
    exit::Exit,
    failure::Failure,
    old_names,
    output::{CommandOutput, Paint},
};

/// A catalogue entry with its placeholders filled.
struct FilledEntry {
    entry: &'static Entry,
    filled: Filled,
}

pub(crate) async fn request(app: &App, args: ConnectArgs) -> Result<ConnectRequest, Failure> {
    let name = ConnectionName::parse(&args.name)?;
    if args.url.is_none() && args.provider.is_none() {
        return Err(nowhere(&args.name));
    }
    let known = known(app.output, &args).await?;
    let kind = kind(&args, known.as_ref());
    let args = with_new_names(app.output, args);
    check_flags(&args, kind)?;
    let mut request = ConnectRequest::new(name, url(&args, known.as_ref())?);
    let issuer = args.issuer.as_deref().map(typed::issuer).transpose()?;
    let requests = typed::requests(&args.request)?;
    request.presentation = presentation(args.credential_header.as_deref(), kind, known.as_ref())?;
    check_headers(&requests.headers, &request.presentation)?;
    request.check_url = args.check_url.as_deref().map(HttpUrl::parse).transpose()?;
    request.client = given_client(app, &args.client)?;
    request
        .assertion_audience
        .clone_from(&args.client.assertion_audience);
    request.dpop = dpop(&args)?;
    // All that can be wrong without it is, before anybody is asked for a key.
    request.way = way(app, &args, kind).await?;
    request.patience = args.sign_in.patience(Some(&request.way));
    request.callback_port = args.sign_in.callback_port;
    request.principal = PrincipalId::new(args.principal);
    request.issuer = issuer;
    request.resource = args.resource.as_deref().map(typed::resource);
    request.scope = args.scope.as_deref().and_then(typed::scope);
    request.requests = requests;
    if let Some(known) = known.filter(|known| is_its_own(app.output, &request, known)) {
        check_place(&request, &known)?;
        fill_in(app.output, &mut request, &known).await?;
    }
    Ok(request)
}

/// The entry that was named, with its blanks filled from `--set`, its defaults and the person.
async fn known(output: CommandOutput, args: &ConnectArgs) -> Result<Option<FilledEntry>, Failure> {
    let Some(name) = &args.provider else {
        return Ok(None);
    };
    let entry = catalogue::named(name).ok_or_else(|| unknown_provider(name))?;
    let mut values = BTreeMap::new();
    for set in &args.set {
        let (key, value) = set.split_once('=').ok_or_else(|| {
            let next = format!("write it as {set}=VALUE");
            Failure::new(Exit::Usage, format!("--set {set} has no value"), next)
        })?;
        values.insert(key.to_owned(), value.to_owned());
    }
    let missing: Vec<_> = entry.missing(&values).into_iter().cloned().collect();
    for asked in missing {
        let question = format!("{} (like {}):", asked.question, asked.example);
        let add = format!("--set {}={}", asked.name, asked.example);
        let answer = ask(output, &question).await.ok_or_else(|| {
            let what = format!("{} needs to know: {}", entry.title, asked.question);
            Failure::new(Exit::Usage, what, format!("add {add}"))
        })?;
        values.insert(asked.name, answer);
    }
    let filled = entry
        .fill(&values)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "correct that --set"))?;
    Ok(Some(FilledEntry { entry, filled }))
}

/// Neither a URL nor a provider was given; the name may be meant as one.
fn nowhere(name: &str) -> Failure {
    let next = match catalogue::named(name) {
        Some(entry) => format!(
            "authkeeper connect {name} --provider {}, or give the server's URL after the name",
            entry.name
        ),
        None => "give the MCP server's or API's URL after the name, or a provider of the catalogue with --provider"
            .to_owned(),
    };
    Failure::new(
        Exit::Usage,
        format!("there is nothing to connect {name} to"),
        next,
    )
}

fn unknown_provider(name: &str) -> Failure {
    let similar = catalogue::similar(name);
    let next = if similar.is_empty() {
        "docs/providers.md lists the catalogue; a provider that is not in it is found by its URL alone".to_owned()
    } else {
        format!("did you mean {}?", similar.join(" or "))
    };
    let what = format!("the catalogue has no provider named {name:?}");
    Failure::new(Exit::Usage, what, next)
}

fn url(args: &ConnectArgs, known: Option<&FilledEntry>) -> Result<HttpUrl, Failure> {
    if let Some(url) = &args.url {
        return typed::url(url);
    }
    let own = known.and_then(|known| {
        let filled = &known.filled;
        filled.api_base.as_ref().or(filled.mcp.as_ref())
    });
    let own = own.ok_or_else(|| {
        let what = "there is no URL, and the provider's entry has none";
        Failure::new(
            Exit::Usage,
            what,
            "give the API's or MCP server's URL after the name",
        )
    })?;
    Ok(HttpUrl::parse(own)?)
}

/// How to sign in: as it was said, else as the provider's entry has it.
fn kind(args: &ConnectArgs, known: Option<&FilledEntry>) -> GrantType {
    match (args.grant, known) {
        (Some(grant), _) => grant,
        _ if args.sign_in.device => GrantType::DeviceCode,
        _ if args.key.is_given() => GrantType::ApiKey,
        (None, Some(known)) => usual_grant(known.entry),
        (None, None) => GrantType::AuthorizationCode,
    }
}

/// Whether a flag means something for a grant type.
type Fits = fn(GrantType) -> bool;

/// A flag that means nothing for the grant was meant for another one.
fn check_flags(args: &ConnectArgs, kind: GrantType) -> Result<(), Failure> {
    let in_browser: Fits = |kind| kind.sign_in() == SignInKind::Browser;
    let on_device: Fits = |kind| kind.sign_in() == SignInKind::Device;
    let by_file: Fits = |kind| kind.renewal() == Renewal::AssertionFile;
    let by_idp: Fits = |kind| kind.renewal() == Renewal::IdentityProvider;
    let is_key: Fits = GrantType::is_key;
    let (sign_in, key) = (&args.sign_in, &args.key);
    let callback_port = sign_in.callback_port.is_some();
    let assertion_file = args.assertion.assertion_file.is_some();
    let idp = args.assertion.idp_token_url.is_some();
    let own = [
        ("--device", sign_in.device, on_device),
        ("--headless", sign_in.headless, in_browser),
        ("--callback-port", callback_port, in_browser),
        ("--key-file and --key-stdin", key.is_given(), is_key),
        ("--rotate-by", key.rotate_by.is_some(), is_key),
        ("--assertion-file", assertion_file, by_file),
        ("--idp-token-url", idp, by_idp),
    ];
    let wrong = own
        .into_iter()
        .find(|(_, given, fits)| *given && !fits(kind));
    let Some((flag, _, fits)) = wrong else {
        return Ok(());
    };
    let fitting = GrantType::ALL.iter().filter(|kind| fits(**kind));
    let fitting: Vec<&str> = fitting.map(|kind| kind.as_str()).collect();
    let (grant, kind) = (fitting.join(" or "), kind.as_str());
    let what = format!("{flag} goes with --grant {grant}, and this one is {kind}");
    let next = format!("leave it out, or sign in with --grant {grant}");
    Err(Failure::new(Exit::Usage, what, next))
}

async fn way(app: &App, args: &ConnectArgs, kind: GrantType) -> Result<SignInMethod, Failure> {
    let rotate_by = rotate_by(&args.key, app.runtime.now())?;
    Ok(match kind.sign_in() {
        SignInKind::Device => SignInMethod::Device,
        SignInKind::Unattended => assertion_flags::unattended(args, kind)?,
        SignInKind::Browser if args.sign_in.headless => SignInMethod::Headless,
        SignInKind::Browser => SignInMethod::Browser,
        SignInKind::Key => SignInMethod::ApiKey {
            key: secret_input::given(app.output, "API key", args.key.source()).await?,
            rotate_by,
        },
    })
}

/// A key would have to be shown as one, in a header of its own kind.
fn dpop(args: &ConnectArgs) -> Result<DpopUse, Failure> {
    let wanted = DpopUse::parse(&args.dpop).unwrap_or_default();
    match (&args.credential_header, wanted) {
        (Some(_), DpopUse::Required) => Err(Failure::new(
            Exit::Usage,
            "--credential-header and --dpop required exclude each other: a bound token is shown as RFC 9449 says",
            "leave one of the two out",
        )),
        (Some(_), _) => Ok(DpopUse::Off),
        (None, wanted) => Ok(wanted),
    }
}

fn usual_grant(entry: &Entry) -> GrantType {
    let first = entry.scopes.grants.first();
    let first = first.and_then(|grant| GrantType::parse(grant.as_str()));
    first.unwrap_or(GrantType::AuthorizationCode)
}

/// A day (`2027-03-01`, its end in UTC) or a time from now (`90d`).
pub(crate) fn rotate_by(args: &KeyArgs, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = &args.rotate_by else {
        return Ok(None);
    };
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        let end = day.at(23, 59, 59, 0).to_zoned(jiff::tz::TimeZone::UTC);
        Some(end.ok()?.timestamp())
    };
    let span = || {
        let span = crate::args::parse_duration(text).ok()?;
        now.saturating_add(span).ok()
    };
    let by = day().or_else(span).ok_or_else(|| {
        let what = format!("--rotate-by {text:?} is neither a day nor a time from now");
        Failure::new(Exit::Usage, what, "write it as 2027-03-01 or 90d")
    })?;
    if by <= now {
        let what = format!("--rotate-by {text} is over already");
        return Err(Failure::new(
            Exit::Usage,
            what,
            "name a day to come, or leave it out",
        ));
    }
    Ok(Some(by))
}

/// What was typed under the old name of a flag.
fn with_new_names(output: CommandOutput, mut args: ConnectArgs) -> ConnectArgs {
    let headers = std::mem::take(&mut args.request.header);
    let (old, headers) = headers
        .into_iter()
        .partition::<Vec<_>, _>(|text| old_names::is_credential_header(text));
    args.request.header = headers;
    for text in old {
        if args.credential_header.is_none() {
            output.say(&format!(
                "--header {text:?} is --credential-header {text:?} now; the next release does not know the old name."
            ));
            args.credential_header = Some(text);
        } else {
            args.request.header.push(text);
        }
    }
    args
}

/// One header can't carry the token or key and something else.
fn check_headers(headers: &ExtraHeaders, shown: &Presentation) -> Result<(), Failure> {
    if headers.names().all(|name| name != shown.header()) {
        return Ok(());
    }
    let what = format!("--header: the token or key stands in {}", shown.header());
    let next = "leave the header out, or name another with --credential-header";
    Err(Failure::new(Exit::Usage, what, next))
}

fn presentation(
    header: Option<&str>,
    kind: GrantType,
    known: Option<&FilledEntry>,
) -> Result<Presentation, Failure> {
    let own = known.and_then(|known| known.entry.api_key.as_ref());
    let own = own
        .filter(|_| kind.is_key())
        .map(|key| format!("{}: {}", key.header, key.scheme));
    let Some(text) = header.map(str::to_owned).or(own) else {
        return Ok(Presentation::default());
    };
    Presentation::parse(&text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            error.to_string(),
            "correct --credential-header",
        )
    })
}

/// Our client, as far as it was given.
pub(crate) fn given_client(app: &App, args: &ClientArgs) -> Result<GivenClient, Failure> {
    let secrets = args
        .client_secret_file
        .iter()
        .map(|path| secret_input::one_line_of(path, "client secret"));
    let key = args.private_key_file.as_deref();
    let metadata_url = args.client_metadata_url.clone();
    Ok(GivenClient {
        client_id: args
            .client_id
            .as_deref()
            .map(|id| ClientId::new(typed::bare(id))),
        secrets: secrets.collect::<Result<_, _>>()?,
        private_key: key
            .map(|path| secret_input::text_of(path, "private key"))
            .transpose()?,
        key_id: args.key_id.clone(),
        redirect_uri: args
            .redirect_uri
            .as_deref()
            .map(|uri| typed::bare(uri).to_owned()),
        auth_method: args
            .client_auth
            .as_deref()
            .and_then(ClientAuthMethod::parse),
        metadata_url: metadata_url.or_else(|| app.settings.client_metadata_url.clone()),
        certificate: certificate_flags::given(&app.settings, args)?,
    })
}

/// A vendor's MCP server has an authorization server of its own: nothing of the entry is true of it.
fn is_its_own(output: CommandOutput, request: &ConnectRequest, known: &FilledEntry) -> bool {
    let of_mcp = catalogue::recognise_mcp(request.url.as_str());
    let of_mcp = of_mcp.is_some_and(|entry| entry.name == known.entry.name);
    let of_api = known.filled.api_base.as_deref().map(HttpUrl::parse);
    let shared = of_api.is_some_and(|api| api.is_ok_and(|api| api.same_origin(&request.url)));
    if of_mcp && !shared {
        output.say(&format!(
            "{} is {}'s MCP server, which says itself how to sign in: --provider is not needed.",
            request.url.as_str(),
            known.entry.title
        ));
    }
    !of_mcp || shared
}

/// Refuses to send a catalogue provider's tokens to the server of another URL.
fn check_place(request: &ConnectRequest, known: &FilledEntry) -> Result<(), Failure> {
    let Some(api) = &known.filled.api_base else {
        return Ok(());
    };
    let own = HttpUrl::parse(api).is_ok_and(|api| api.same_origin(&request.url));
    let by_host = catalogue::recognise(request.url.as_str());
    if own || by_host.is_some_and(|entry| entry.name == known.entry.name) {
        return Ok(());
    }
    let what = format!(
        "{} is not {}'s API, which is at {api}",
        request.url.as_str(),
        known.entry.title
    );
    Err(Failure::new(
        Exit::Usage,
        what,
        "leave the URL out, or connect it without --provider",
    ))
}

/// The entry's values that no flag gave.
async fn fill_in(
    output: CommandOutput,
    request: &mut ConnectRequest,
    known: &FilledEntry,
) -> Result<(), Failure> {
    let entry = known.entry;
    request.provider = Some(entry.name.clone());
    if matches!(request.way, SignInMethod::ApiKey { .. }) {
        return Ok(());
    }
    // What a provider publishes of itself decides; the entry stands in where it publishes nothing.
    match &known.filled.metadata {
        _ if request.issuer.is_some() => {}
        Some(metadata) if known.filled.discovery.is_none() => {
            request.endpoints = Some(metadata.clone());
        }
        _ => request.issuer = Some(Issuer::new(&known.filled.issuer)),
    }
    let person = !matches!(request.way, SignInMethod::Unattended(_));
    if request.scope.is_none() {
        let more = entry.scopes.for_refresh.iter().filter(|_| person);
        let mut scopes: Vec<&str> = Vec::new();
        for scope in entry.scopes.default.iter().chain(more) {
            if !scopes.contains(&scope.as_str()) {
                scopes.push(scope);
            }
        }
        request.scope = (!scopes.is_empty()).then(|| Scope::new(scopes.join(" ")));
    }
    let parameters = entry.scopes.parameters.iter().filter(|_| person);
    request.extra = parameters
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let registers = entry
        .client
        .registration
        .iter()
        .any(|way| *way != RegistrationSource::Given);
    let client = &mut request.client;
    if !registers && request.callback_port.is_none() && client.redirect_uri.is_none() {
        client.redirect_uri = fixed_redirect_uri(entry).map(str::to_owned);
    }
    if client.client_id.is_none() && !registers {
        client.client_id =
            Some(ask_for_client(output, entry, client.redirect_uri.as_deref()).await?);
    }
    let given = !client.secrets.is_empty() || client.private_key.is_some();
    if client.auth_method.is_none() && given {
        client.auth_method = entry.client.auth.first().copied();
    }
    Ok(())
}

/// Where not every port of this machine is taken, always the same one is used, so that it can be registered; where none
/// is, the browser ends at an address that nobody answers, and that is pasted.
fn fixed_redirect_uri(entry: &Entry) -> Option<&'static str> {
    match entry.client.loopback {
        Loopback::AnyPort => None,
        Loopback::Refused => Some("https://localhost:8976/callback"),
        _ => Some("http://127.0.0.1:8976/callback"),
    }
}

/// The provider registers no clients by itself: a person does, in its console.
async fn ask_for_client(
    output: CommandOutput,
    entry: &Entry,
    redirect_uri: Option<&str>,
) -> Result<ClientId, Failure> {
    let console = entry.client.console.iter().cloned();
    let redirect = redirect_uri.map(|uri| format!("Redirect URI, exactly: {uri}"));
    let steps = console
        .chain(redirect)
        .map(|step| format!("\n    - {step}"));
    let at = entry.client.console_url.as_deref().unwrap_or(&entry.docs);
    let how = format!(
        "register a client once at {at}:{}",
        steps.collect::<String>()
    );
    output.say(&format!(
        "{}: {how}\n",
        output.paint_err(Paint::Strong, &entry.title)
    ));
    let id = ask(output, "Client id:").await;
    id.map(ClientId::new).ok_or_else(|| {
        let what = format!("{} gives no client id by itself", entry.title);
        let next =
            "register one as said above, then add --client-id ID [--client-secret-file FILE]";
        Failure::new(Exit::Usage, what, next)
    })
}
