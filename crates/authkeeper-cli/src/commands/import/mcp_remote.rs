//! What mcp-remote stores (read in its version 0.15.1): plain JSON files in `~/.mcp-auth/mcp-remote-v1/`, named after the
//! MD5 of the server's URL. Versions before it used a folder a version.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use authkeeper::{
    model::{ClientAuthMethod, ClientId, LifetimeSource, Scope, TokenSet},
    oauth::register::GivenClient,
    secret::SecretString,
    signin::{ConnectRequest, ImportRequest},
    text::hex::hex,
};
use authkeeper_gateway::bounded_read;
use jiff::Timestamp;
use md5::{Digest as _, Md5};
use serde_json::Value;

use crate::{app::App, args::ImportArgs, exit::Exit, failure::Failure};

/// No file of mcp-remote's is longer.
const LONGEST: u64 = 1024 * 1024;

/// One server's files.
pub(super) struct Stored {
    tokens: Value,
    client: Value,
    at: PathBuf,
    modified: Option<Timestamp>,
}

impl Stored {
    /// Finds the newest files for a URL.
    pub(super) fn find(app: &App, args: &ImportArgs, url: &str) -> Result<Self, Failure> {
        let folder = folder(app, args)?;
        let name = hash(url);
        let mut found: Vec<Result<Self, Failure>> = folders_in(&folder)
            .iter()
            .filter_map(|folder| Self::read(folder, &name).transpose())
            .collect();
        // The newest that can be read; one that can't is told only if there is no other.
        found.sort_by_key(|stored| stored.as_ref().map(|stored| stored.modified).ok());
        found.pop().unwrap_or_else(|| {
            let what = format!("mcp-remote has stored nothing for {url} under {}", folder.display());
            let next = "give the URL exactly as mcp-remote's command line has it, and --mcp-remote-dir if its files are elsewhere (an mcp-remote with --header or --resource stores under another name; import its refresh token with --refresh-token-file)";
            Err(Failure::new(Exit::Data, what, next))
        })
    }

    fn read(folder: &Path, name: &str) -> Result<Option<Self>, Failure> {
        let at = folder.join(format!("{name}_tokens.json"));
        if !at.exists() {
            return Ok(None);
        }
        let client = folder.join(format!("{name}_client_info.json"));
        let metadata = at.metadata().and_then(|metadata| metadata.modified()).ok();
        Ok(Some(Self {
            tokens: json_of(&at)?,
            client: json_of(&client)?,
            modified: metadata.and_then(|time| Timestamp::try_from(time).ok()),
            at,
        }))
    }

    /// As an import: the client that mcp-remote registered, its refresh token, and its access token if that still lives.
    pub(super) fn request(
        self,
        mut connect: ConnectRequest,
        now: Timestamp,
    ) -> Result<ImportRequest, Failure> {
        let text = |from: &Value, key: &str| from.get(key)?.as_str().map(str::to_owned);
        let lacks = |what: &str| {
            let what = format!("{} holds no {what}", self.at.display());
            let next = "sign in again: authkeeper connect NAME URL";
            Failure::new(Exit::Data, what, next)
        };
        let refresh = text(&self.tokens, "refresh_token").ok_or_else(|| lacks("refresh token"))?;
        let id = text(&self.client, "client_id").ok_or_else(|| lacks("client"))?;
        let method = text(&self.client, "token_endpoint_auth_method");
        connect.client = GivenClient {
            client_id: Some(ClientId::new(id)),
            secrets: text(&self.client, "client_secret")
                .map(SecretString::from)
                .into_iter()
                .collect(),
            auth_method: method.as_deref().and_then(ClientAuthMethod::parse),
            ..GivenClient::default()
        };
        let stored = text(&self.tokens, "scope").or_else(|| text(&self.tokens, "requested_scope"));
        // What was typed is what is meant.
        connect.scope = connect.scope.or(stored.map(Scope::new));
        let mut request = ImportRequest::new(connect, refresh.into());
        request.tokens = self.living(now);
        Ok(request)
    }

    /// The access token, with what is left of its life by mcp-remote's own count.
    fn living(&self, now: Timestamp) -> Option<TokenSet> {
        let token = self.tokens.get("access_token")?.as_str()?;
        let ends = self.tokens.get("expires_at")?.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds")]
        let ends = Timestamp::from_millisecond(ends as i64).ok()?;
        let left = Duration::try_from(ends.duration_since(now)).ok()?;
        Some(TokenSet {
            access_token: token.to_owned().into(),
            refresh_token: None,
            scope: None,
            issued: authkeeper::platform::clock::Seams::system().clock.now(),
            lifetime: left,
            lifetime_source: LifetimeSource::ExpiresIn,
            refresh_in: None,
            subject_binding: Box::default(),
        })
        .filter(|tokens| tokens.lifetime > Duration::from_secs(1))
    }
}

fn folder(app: &App, args: &ImportArgs) -> Result<PathBuf, Failure> {
    if let Some(folder) = &args.mcp_remote_dir {
        return Ok(folder.clone());
    }
    let set = app.environment.get("MCP_REMOTE_CONFIG_DIR");
    if let Some(folder) = set {
        return Ok(folder.into());
    }
    let home = app
        .environment
        .get("HOME")
        .ok_or_else(|| Failure::new(Exit::Config, "HOME is not set", "add --mcp-remote-dir DIR"))?;
    Ok(PathBuf::from(home).join(".mcp-auth"))
}

/// The folder itself and those of each version in it.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let versions = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    versions.chain([folder.to_owned()]).collect()
}

fn json_of(path: &Path) -> Result<Value, Failure> {
    let wrong = |why: String| {
        let what = format!("{} can't be read: {why}", path.display());
        Failure::new(
            Exit::Data,
            what,
            "sign in again: authkeeper connect NAME URL",
        )
    };
    let text = bounded_read::read(path, LONGEST).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|_json| wrong("it is no JSON".to_owned()))
}

/// How mcp-remote names a server's files.
fn hash(url: &str) -> String {
    hex(&Md5::digest(url.as_bytes()))
}

#[cfg(test)]
mod tests {
    use authkeeper::{http::HttpUrl, model::ConnectionName};
    use serde_json::json;

    use super::*;

    fn asked(scope: Option<&str>) -> Option<String> {
        let name = ConnectionName::parse("notion").unwrap();
        let url = HttpUrl::parse("https://mcp.example/mcp").unwrap();
        let mut connect = ConnectRequest::new(name, url);
        connect.scope = scope.map(Scope::new);
        let stored = Stored {
            tokens: json!({"refresh_token": "r", "scope": "stored"}),
            client: json!({"client_id": "c"}),
            at: PathBuf::new(),
            modified: None,
        };
        let request = stored.request(connect, Timestamp::UNIX_EPOCH).unwrap();
        request.connect.scope.map(|scope| scope.as_str().to_owned())
    }

    #[test]
    fn the_scope_that_was_typed_is_asked_for_and_not_the_stored_one() {
        assert_eq!(asked(Some("typed")), Some("typed".to_owned()));
        assert_eq!(asked(None), Some("stored".to_owned()));
    }

    #[test]
    fn a_file_that_is_too_long_is_said_to_be_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x_tokens.json");
        // Cut at the bound it would be JSON still.
        let mut text = "1".to_owned();
        text.extend(std::iter::repeat_n(' ', 1024 * 1024));
        std::fs::write(&path, text).unwrap();
        let failure = json_of(&path).unwrap_err();
        assert!(
            failure.what.contains("longer than 1024 KiB"),
            "{}",
            failure.what
        );
    }

    #[test]
    fn files_are_named_as_mcp_remote_names_them() {
        // printf %s https://mcp.example/mcp | md5sum
        assert_eq!(
            hash("https://mcp.example/mcp"),
            "15b9982bbc0f6c97e59b3c224d8cad5a"
        );
    }
}
