//! `--token-file`: the access token of a connection in a file, for programs that can't be pointed at a proxy. It is replaced
//! at each refresh and removed at the end of the run.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use authkeeper::{
    model::{ConnectionName, Generation, Lineage},
    runtime::{IssuedToken, Runtime, TokenRequest},
};
use authkeeper_gateway::{error::CallErrorKind, lifecycle::Lifecycle};
use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::time::sleep;

use crate::{exit::Exit, failure::Failure};

/// How often the store is asked whether anything was written.
const LOOK: Duration = Duration::from_millis(100);

/// How soon a token that can't be had or written is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// Which connection's token goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenFile {
    pub(crate) connection: ConnectionName,
    pub(crate) path: PathBuf,
}

/// `NAME=PATH`, or `PATH` alone where there is one connection.
pub(crate) fn parse(
    typed: &[String],
    declared: &[ConnectionName],
) -> Result<Vec<TokenFile>, Failure> {
    let parsed = typed.iter().map(|text| parse_one(text, declared));
    let files: Vec<TokenFile> = parsed.collect::<Result<_, _>>()?;
    for TokenFile { path, .. } in &files {
        // Said now, and not after a wait for the first token.
        if !folder_of(path).is_dir() {
            return Err(unwritable(path, &"there is no such folder"));
        }
        if path.is_dir() {
            return Err(unwritable(path, &"it is a folder"));
        }
    }
    Ok(files)
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    folder.unwrap_or(Path::new("."))
}

fn unwritable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    let what = format!("the token file {} can't be written: {why}", path.display());
    let next = "name a file in a folder of your own that is there";
    Failure::new(Exit::Store, what, next)
}

fn parse_one(text: &str, declared: &[ConnectionName]) -> Result<TokenFile, Failure> {
    let named = text.split_once('=').and_then(|(name, path)| {
        let mut declared = declared.iter();
        let connection = declared.find(|declared| declared.as_str() == name)?;
        Some((connection, path))
    });
    let (connection, path) = match (named, declared) {
        (Some(named), _) => named,
        (None, [only]) => (only, text),
        (None, _) => {
            let what = format!("--token-file {text} names none of the run's connections");
            let next = "write it as --token-file NAME=PATH, with a NAME that --with has too";
            return Err(Failure::new(Exit::Usage, what, next));
        }
    };
    if path.is_empty() {
        let what = format!("--token-file {text} names no file");
        return Err(Failure::new(
            Exit::Usage,
            what,
            "write it as --token-file NAME=PATH",
        ));
    }
    Ok(TokenFile {
        connection: connection.clone(),
        path: path.into(),
    })
}

/// The files of a run, kept up to date until this is dropped; then they are removed.
#[derive(Debug, Default)]
pub(crate) struct TokenFiles(Vec<Arc<Mutex<Written>>>);

/// What is in a file.
#[derive(Debug)]
struct Written {
    path: PathBuf,
    /// Which file of that name is ours.
    inode: Option<u64>,
    token: Option<(Lineage, Generation)>,
    ends: Option<Timestamp>,
}

impl TokenFiles {
    /// Writes each file, and keeps it from then on.
    pub(crate) async fn start(
        lifecycle: &Lifecycle,
        runtime: &Runtime,
        files: Vec<TokenFile>,
    ) -> Result<Self, Failure> {
        let mut kept = Self::default();
        for TokenFile { connection, path } in files {
            let request = TokenRequest::new(connection.clone());
            let token = runtime.access_token(&request).await?;
            if token.binding.is_some() {
                return Err(bound(&connection));
            }
            let mut written = Written::at(path);
            let put = written.put(&token);
            put.map_err(|error| unwritable(&written.path, &error))?;
            let written = Arc::new(Mutex::new(written));
            let keeping = keep(runtime.clone(), request, Arc::downgrade(&written));
            lifecycle.spawn_until_stop(keeping);
            kept.0.push(written);
        }
        Ok(kept)
    }
}

fn locked(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep(runtime: Runtime, request: TokenRequest, written: Weak<Mutex<Written>>) {
    let mut seen = runtime.changes().ok();
    let mut pause = LOOK;
    loop {
        sleep(pause).await;
        pause = LOOK;
        let now = runtime.changes().ok();
        let ended = |written: Arc<Mutex<Written>>| locked(&written).has_ended(runtime.now());
        let Some(ended) = written.upgrade().map(ended) else {
            return;
        };
        if now.is_some() && now == seen && !ended {
            continue;
        }
        let answer = runtime.access_token(&request).await;
        let Some(written) = written.upgrade() else {
            return;
        };
        let done = locked(&written).follow(answer);
        match done {
            Ok(()) => seen = now,
            Err(why) => {
                tracing::warn!(why, "a token file is not up to date");
                pause = AGAIN;
            }
        }
    }
}

impl Written {
    fn at(path: PathBuf) -> Self {
        Self {
            path,
            inode: None,
            token: None,
            ends: None,
        }
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|end| now >= end)
    }

    /// A token that nobody may use any more stays in no file.
    fn follow(
        &mut self,
        answer: Result<Arc<IssuedToken>, authkeeper::error::TokenError>,
    ) -> Result<(), String> {
        match answer {
            Ok(token) if self.token == Some((token.lineage, token.generation)) => Ok(()),
            Ok(token) => self.put(&token).map_err(|error| error.to_string()),
            Err(error) => {
                if is_over(CallErrorKind::from(&error)) {
                    self.remove();
                }
                Err(error.to_string())
            }
        }
    }

    /// Readers see the token before it or this one, and nobody else sees either.
    #[expect(
        clippy::disallowed_methods,
        reason = "a file with the token is what was asked for"
    )]
    fn put(&mut self, token: &IssuedToken) -> io::Result<()> {
        // With the mode 0600.
        let mut new = NamedTempFile::new_in(folder_of(&self.path))?;
        new.write_all(token.secret.expose().as_bytes())?;
        let file = new.persist(&self.path).map_err(|error| error.error)?;
        self.inode = Some(file.metadata()?.ino());
        self.token = Some((token.lineage, token.generation));
        self.ends = token.expires_at;
        Ok(())
    }

    /// Removes the file, unless another one has taken its place.
    fn remove(&mut self) {
        (self.token, self.ends) = (None, None);
        let Some(inode) = self.inode.take() else {
            return;
        };
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::error!(%error, path = %self.path.display(), "a file with a token is left");
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether calls with an earlier token are over too.
fn is_over(kind: CallErrorKind) -> bool {
    !matches!(
        kind,
        CallErrorKind::ProviderUnavailable | CallErrorKind::Store | CallErrorKind::NetworkSetting
    )
}

fn bound(name: &ConnectionName) -> Failure {
    let what = format!("the token of {name} is bound to a key (DPoP): in a file it is of no use");
    let next = "leave --token-file out, and call through $AUTHKEEPER_URL";
    Failure::new(Exit::Usage, what, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<ConnectionName> {
        let names = names.iter();
        names
            .map(|name| ConnectionName::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn a_file_is_for_one_connection() {
        let parsed = |text: &str, declared: &[&str]| {
            let file = parse_one(text, &names(declared)).ok()?;
            Some(format!("{} {}", file.connection, file.path.display()))
        };
        for (text, declared, read) in [
            ("/run/t", &["api"][..], Some("api /run/t")),
            ("api=/run/t", &["api"], Some("api /run/t")),
            ("api=t", &["notion", "api"], Some("api t")),
            // A name that is none of the run's is a part of the path.
            ("x=t", &["api"], Some("api x=t")),
            ("x=t", &["notion", "api"], None),
            ("/run/t", &["notion", "api"], None),
            ("api=", &["api"], None),
            ("", &["api"], None),
        ] {
            assert_eq!(
                parsed(text, declared).as_deref(),
                read,
                "{text} {declared:?}"
            );
        }
    }

    #[test]
    fn a_file_that_took_our_files_place_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "theirs").unwrap();
        let mut written = Written::at(path.clone());
        written.inode = Some(fs::metadata(&path).unwrap().ino() + 1);
        written.remove();
        assert!(path.exists());
        written.inode = Some(fs::metadata(&path).unwrap().ino());
        written.remove();
        assert!(!path.exists());
    }
}
