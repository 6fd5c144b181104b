//! What is typed to connect, in each of the ways there are.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper::{model::GrantType, signin::SignInMethod};
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::duration::parse_duration;

pub(super) const CONNECT_EXAMPLES: &str = "\
Examples:
  authkeeper connect notion https://mcp.notion.com/mcp              a browser
  authkeeper connect notion https://mcp.notion.com/mcp --device     your phone
  authkeeper connect notion https://mcp.notion.com/mcp --headless   over ssh
  authkeeper connect api https://api.example/v1 --issuer https://login.example \\
      --client-id abc --param audience=https://api.example
  authkeeper connect gh --provider github --client-id abc \\
      --client-secret-file gh.secret
  authkeeper connect api https://api.example/v1 --issuer https://login.example \\
      --grant client_credentials --client-id job --private-key-file job.pem
  authkeeper connect api https://api.example/v1 --grant api_key \\
      --key-file api.key --rotate-by 2027-03-01
  authkeeper connect blue https://mcp.example/mcp --header 'X-Tenant: blue'
  authkeeper connect wiki https://mcp.example/mcp --grant jwt_bearer \\
      --assertion-file /var/run/secrets/tokens/wiki
  authkeeper connect crm https://mcp.example/mcp --grant id_jag \\
      --client-id agent --client-secret-file crm.secret \\
      --idp-token-url https://login.example/token --idp-client-id agents \\
      --id-token-file me.jwt
  authkeeper connect bank https://api.example/v1 --grant client_credentials \\
      --issuer https://login.example --client-id job \\
      --client-cert /etc/job/tls.crt --client-key /etc/job/tls.key";

pub(super) const IMPORT_EXAMPLES: &str = "\
Examples:
  authkeeper import api https://api.example/v1 --client-id abc \\
      --token-url https://login.example/token --refresh-token-file old.token
  authkeeper import notion https://mcp.notion.com/mcp --from-mcp-remote
  authkeeper import notion --other-copy-retired      it may be used from now on

A refresh token that two programs spend can cost the whole grant. Until you
confirm that the other copy is retired, an imported one is kept and not used.";

pub(super) const ROTATE_EXAMPLES: &str = "\
Examples:
  authkeeper rotate api --key-file new.key --rotate-by 2027-06-01
  authkeeper rotate api --client-secret-file new.secret

The key before it serves again if the new one is refused before the overlap
ends. A client's old secrets stay behind the new one and are tried when it is
refused.";

/// A grant type by its word.
fn grant_type() -> impl TypedValueParser<Value = GrantType> {
    let words = GrantType::ALL.iter().map(|kind| kind.as_str());
    PossibleValuesParser::new(words)
        .try_map(|word| GrantType::parse(&word).ok_or("there is no such grant type"))
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// What to call it
    pub(crate) name: String,
    /// The MCP server or API; a provider of the catalogue (--provider) has one of its own
    pub(crate) url: Option<String>,
    /// On whose authority calls are made
    #[arg(long, default_value = "local")]
    pub(crate) principal: String,
    /// An entry of the catalogue, like github or google: it knows the endpoints, the scopes and the habits
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// What the provider's entry leaves open, like tenant=contoso; may be given several times
    #[arg(long, value_name = "KEY=VALUE", requires = "provider")]
    pub(crate) set: Vec<String>,
    /// How access is granted
    #[arg(long, value_parser = grant_type())]
    pub(crate) grant: Option<GrantType>,
    /// The authorization server's issuer, if the server does not name the right one itself
    #[arg(long)]
    pub(crate) issuer: Option<String>,
    /// The resource to ask tokens for (RFC 8707), if the server's metadata does not say it
    #[arg(long, conflicts_with = "no_resource")]
    pub(crate) resource: Option<String>,
    /// The scopes to ask for, separated by spaces [default: what the server's challenge or metadata asks for]
    #[arg(long)]
    pub(crate) scope: Option<String>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    #[command(flatten)]
    pub(crate) assertion: AssertionArgs,
    /// Whether tokens are bound to a key that never leaves this machine (RFC 9449); auto binds them where both servers
    /// offer it
    #[arg(long, value_parser = ["auto", "required", "off"], default_value = "auto")]
    pub(crate) dpop: String,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The header that carries the key or token, with the word before it [default: Authorization: Bearer]
    #[arg(long, value_name = "HEADER[: WORD]")]
    pub(crate) credential_header: Option<String>,
    /// A harmless URL that proves the token, for authkeeper check [default: the provider's usual one, else the MCP server's tools/list]
    #[arg(long)]
    pub(crate) check_url: Option<String>,
    #[command(flatten)]
    pub(crate) sign_in: SignInArgs,
}

/// What requests carry beside the usual, or leave out. It is kept with the connection.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// A parameter of the authorization request, like audience=orders; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) param: Vec<String>,
    /// A parameter of every token request, refreshes included; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) token_param: Vec<String>,
    /// A header of every request to the server, discovery included, like "X-Tenant: blue"; never sent to the authorization
    /// server. It takes the place of what a client sends. May be given several times; "X-Tenant:" takes it away
    #[arg(long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// The file that holds such a header on one line, where its value is a secret; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) header_file: Vec<PathBuf>,
    /// Leave the resource (RFC 8707) out, where the provider refuses it (AADSTS9010010)
    #[arg(long)]
    pub(crate) no_resource: bool,
    /// Sign in though the provider does not publish that it takes PKCE; a challenge (S256) is sent all the same
    #[arg(long)]
    pub(crate) pkce_unadvertised: bool,
}

/// Our client, registered by hand.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// A client id registered by hand
    #[arg(long)]
    pub(crate) client_id: Option<String>,
    /// The file that holds its secret; several are tried in order, while one replaces the other
    #[arg(long, requires = "client_id")]
    pub(crate) client_secret_file: Vec<PathBuf>,
    /// The file that holds its private key (PEM), which proves it without a secret (RFC 7523)
    #[arg(long, requires = "client_id", conflicts_with = "client_secret_file")]
    pub(crate) private_key_file: Option<PathBuf>,
    /// Which of its keys that is (kid), if the provider wants to be told
    #[arg(long, requires = "private_key_file")]
    pub(crate) key_id: Option<String>,
    /// Whom the client's signed assertions are for, if not the issuer; often the token endpoint's URL
    #[arg(long, value_name = "URL", requires = "private_key_file")]
    pub(crate) assertion_audience: Option<String>,
    /// How it shows its secret [default: what the provider's metadata asks for]
    #[arg(
        long,
        value_parser = [
            "client_secret_basic", "client_secret_post", "none", "tls_client_auth", "self_signed_tls_client_auth"
        ]
    )]
    pub(crate) client_auth: Option<String>,
    /// The file that holds the client certificate (PEM) that the authorization server and the resource are shown; read again
    /// for each connection, so that it can be renewed in place
    #[arg(long, value_name = "FILE")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The file that holds its private key (PEM) [default: the file of the certificate]
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// The redirect URI it was registered with, where the provider takes only that one. One on this machine (http, and
    /// localhost or a loopback address, any port and path) is listened for; else the URL that the browser ends at is pasted
    #[arg(long, requires = "client_id")]
    pub(crate) redirect_uri: Option<String>,
    /// The URL of a client metadata document that serves as client id
    #[arg(long)]
    pub(crate) client_metadata_url: Option<String>,
}

/// What stands in the place of a sign-in.
#[derive(Debug, Args)]
pub(crate) struct AssertionArgs {
    /// The file that holds the platform's JWT for this workload; read again at each renewal
    #[arg(long, value_name = "FILE")]
    pub(crate) assertion_file: Option<PathBuf>,
    /// The token endpoint of the company's identity provider
    #[arg(long, value_name = "URL", requires = "idp_client_id")]
    pub(crate) idp_token_url: Option<String>,
    /// The client id at the identity provider
    #[arg(long, value_name = "ID", requires = "idp_token_url")]
    pub(crate) idp_client_id: Option<String>,
    /// The file that holds that client's secret
    #[arg(long, value_name = "FILE", requires = "idp_client_id")]
    pub(crate) idp_client_secret_file: Option<PathBuf>,
    /// The file that holds the person's ID token; read again at each renewal
    #[arg(
        long,
        value_name = "FILE",
        requires = "idp_token_url",
        conflicts_with = "idp_refresh_token_file"
    )]
    pub(crate) id_token_file: Option<PathBuf>,
    /// The file that holds the person's refresh token at the identity provider; from then on nothing else may use it
    #[arg(long, value_name = "FILE", requires = "idp_token_url")]
    pub(crate) idp_refresh_token_file: Option<PathBuf>,
}

/// A key that a person made.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The file that holds the API key
    #[arg(long, conflicts_with = "key_stdin")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the API key from standard input
    #[arg(long)]
    pub(crate) key_stdin: bool,
    /// The day by which the key should be replaced, or the time until then (90d); you are told two weeks ahead
    #[arg(long, value_name = "DAY|TIME")]
    pub(crate) rotate_by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SignInArgs {
    /// Sign in on another device, with a short code (RFC 8628)
    #[arg(long, conflicts_with = "headless")]
    pub(crate) device: bool,
    /// Sign in in a browser on any machine, and paste the URL it ends at
    #[arg(long)]
    pub(crate) headless: bool,
    /// The port on this machine that the sign-in comes back to
    #[arg(long)]
    pub(crate) callback_port: Option<u16>,
    /// How long to wait for the sign-in [default: 5m, and 15m with --device or --headless]
    #[arg(long, value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Leave out the call that proves the new credential
    #[arg(long)]
    pub(crate) no_check: bool,
}

/// Where one secret comes from.
pub(crate) struct SecretSource<'a> {
    /// The file, if one was named.
    pub(crate) file: Option<&'a Path>,
    /// Whether it was said that it comes on standard input.
    pub(crate) stdin: bool,
    /// The flags that say so.
    pub(crate) flags: &'static str,
}

impl KeyArgs {
    /// Whether it was said where a key is.
    pub(crate) fn is_given(&self) -> bool {
        self.key_file.is_some() || self.key_stdin
    }

    /// Where the key is to come from.
    pub(crate) fn source(&self) -> SecretSource<'_> {
        SecretSource {
            file: self.key_file.as_deref(),
            stdin: self.key_stdin,
            flags: "--key-file FILE or --key-stdin",
        }
    }
}

impl SignInArgs {
    /// A person at another device needs longer than one at this one.
    pub(crate) fn patience(&self, way: Option<&SignInMethod>) -> Duration {
        let elsewhere = matches!(way, Some(SignInMethod::Device | SignInMethod::Headless));
        let minutes = if elsewhere { 15 } else { 5 };
        self.timeout.unwrap_or(Duration::from_mins(minutes))
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReauthorizeArgs {
    /// The connection
    #[arg(required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// Every connection that needs a sign-in, one after the other
    #[arg(long, conflicts_with_all = ["name", "scope", "callback_port"])]
    pub(crate) all: bool,
    /// Ask for these scopes from now on, separated by spaces
    #[arg(long)]
    pub(crate) scope: Option<String>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) sign_in: SignInArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What to call it
    pub(crate) name: String,
    /// The MCP server or API
    pub(crate) url: Option<String>,
    /// On whose authority calls are made
    #[arg(long, default_value = "local")]
    pub(crate) principal: String,
    /// Where the refresh token is spent; left out, the URL's own metadata says it
    #[arg(long, requires = "url")]
    pub(crate) token_url: Option<String>,
    /// The authorization server's issuer
    #[arg(long, requires = "url")]
    pub(crate) issuer: Option<String>,
    /// The resource its tokens are for (RFC 8707)
    #[arg(long, requires = "url")]
    pub(crate) resource: Option<String>,
    /// The scopes to ask for when somebody signs in again, separated by spaces
    #[arg(long, requires = "url")]
    pub(crate) scope: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Read the refresh token from standard input
    #[arg(long, requires = "url")]
    pub(crate) refresh_token_stdin: bool,
    /// The file that holds the refresh token
    #[arg(long, requires = "url", conflicts_with = "refresh_token_stdin")]
    pub(crate) refresh_token_file: Option<PathBuf>,
    /// Take what mcp-remote stored for this URL
    #[arg(
        long,
        requires = "url",
        conflicts_with_all = [
            "refresh_token_stdin", "refresh_token_file", "token_url", "client_id", "client_auth", "client_metadata_url",
            "client_cert"
        ]
    )]
    pub(crate) from_mcp_remote: bool,
    /// Where mcp-remote keeps its files [default: `$MCP_REMOTE_CONFIG_DIR`, else ~/.mcp-auth]
    #[arg(long, requires = "from_mcp_remote")]
    pub(crate) mcp_remote_dir: Option<PathBuf>,
    /// Nothing else uses this refresh token any more: it may be spent
    #[arg(long)]
    pub(crate) other_copy_retired: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The connection
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The file that holds a new secret of the connection's client
    #[arg(long, conflicts_with_all = ["key_file", "key_stdin", "rotate_by", "overlap"])]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// How long the key before it may serve again, if the new one is refused
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    pub(crate) overlap: Duration,
}
