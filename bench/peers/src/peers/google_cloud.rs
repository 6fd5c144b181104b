//! User credentials of the Google Cloud SDK. Its cache is private, and its provider is always an HTTP server: here one on
//! the loopback interface. It fetches in a background task, from its construction on.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use google_cloud_auth::credentials::{AccessTokenCredentials, user_account};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{Peer, ROUND_TRIP, token_text};

/// Credentials, and the server that they are asked from.
pub struct GoogleCloud {
    credentials: AccessTokenCredentials,
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Drop for GoogleCloud {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Peer for GoogleCloud {
    const NAME: &'static str = "google-cloud-auth 1.19";

    async fn expired() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let requests = Arc::new(AtomicU64::new(0));
        let server = tokio::spawn(serve(listener, Arc::clone(&requests)));
        let user = serde_json::json!({
            "type": "authorized_user",
            "client_id": "client",
            "client_secret": "secret",
            "refresh_token": "refresh",
            "token_uri": format!("http://{address}/token"),
        });
        let credentials = user_account::Builder::new(user).build_access_token_credentials();
        Self {
            credentials: credentials.expect("all that is needed"),
            requests,
            server,
        }
    }

    async fn token(&self) -> usize {
        let token = self.credentials.access_token().await.expect("a token");
        token.token.len()
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, requests: Arc<AtomicU64>) {
    while let Ok((socket, _)) = listener.accept().await {
        if answer(socket).await.is_ok() {
            requests.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn answer(mut socket: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await?;
    tokio::time::sleep(ROUND_TRIP).await;
    let token = token_text();
    let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all((head + &body).as_bytes()).await
}
