//! A client of our own bridge, that asks a server for its tools and leaves: `check` makes the call that a real client
//! would make, through the code that carries a real client's calls.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, duplex};

use super::{
    forward_upstream::ForwardUpstream, options::BridgeOptions, pump::life::serve_upstream,
    upstream::Upstream,
};
use crate::error::CallErrorKind;

/// As many pages of tools are read at most.
const PAGES: usize = 50;
const HANDSHAKE: &str = "2025-11-25";
const STATELESS: &str = "2026-07-28";

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub struct ListedTools {
    /// How many tools it lists.
    pub tools: usize,
    /// Which protocol version was spoken.
    pub version: String,
}

/// The JSON-RPC error in the place of an answer: the server's, or the bridge's with its `data.kind`.
#[derive(Debug)]
pub struct ListToolsError {
    /// What was said.
    pub message: String,
    /// Its machine-readable part.
    pub data: Value,
}

impl ListToolsError {
    /// What the bridge says happened; nothing if the server said it.
    pub fn kind(&self) -> Option<CallErrorKind> {
        CallErrorKind::of_word(self.data["error"].as_str()?)
    }

    /// The HTTP status that came in the place of an MCP message.
    pub fn status(&self) -> Option<u16> {
        u16::try_from(self.data["status"].as_u64()?).ok()
    }

    /// Whether another era's way of asking may fare better.
    fn is_about_the_protocol(&self) -> bool {
        match self.kind() {
            None => true,
            Some(CallErrorKind::UnusableAnswer) => !matches!(self.status(), Some(401 | 403)),
            Some(_) => false,
        }
    }
}

/// Asks for the tools in the way of either era.
pub async fn list_tools(upstream: ForwardUpstream) -> Result<ListedTools, ListToolsError> {
    list_tools_of(Arc::new(upstream)).await
}

pub(super) async fn list_tools_of(
    upstream: Arc<dyn Upstream>,
) -> Result<ListedTools, ListToolsError> {
    let (ours, theirs) = duplex(64 * 1024);
    let (input, output) = tokio::io::split(theirs);
    // Which era the server speaks is for this client to find out.
    let options = BridgeOptions {
        translate: false,
        ..BridgeOptions::default()
    };
    let served = serve_upstream(upstream, BufReader::new(input), output, options);
    let asking = async {
        let mut client = ToolClient::new(ours);
        client.ask().await
    };
    // The client is dropped when it is done: that ends the bridge.
    let (asked, served) = tokio::join!(asking, served);
    if let Err(error) = served {
        tracing::debug!(%error, "the bridge ended");
    }
    asked
}

struct ToolClient {
    lines: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    writer: tokio::io::WriteHalf<DuplexStream>,
    asked: u64,
}

impl ToolClient {
    fn new(stream: DuplexStream) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            lines: BufReader::new(reader).lines(),
            writer,
            asked: 0,
        }
    }

    async fn ask(&mut self) -> Result<ListedTools, ListToolsError> {
        match self.by_handshake().await {
            Err(refused) if refused.is_about_the_protocol() => {
                self.by_itself().await.map_err(|_same| refused)
            }
            answered => answered,
        }
    }

    /// 2025-11-25, basic/lifecycle: `initialize`, then anything else.
    async fn by_handshake(&mut self) -> Result<ListedTools, ListToolsError> {
        let hello = json!({
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": client_info(),
        });
        let welcome = self.request("initialize", hello).await?;
        let version = welcome["protocolVersion"].as_str().unwrap_or(HANDSHAKE);
        let version = version.to_owned();
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await?;
        let tools = self.count(&json!({})).await?;
        Ok(ListedTools { tools, version })
    }

    /// 2026-07-28: each message says what it needs said.
    async fn by_itself(&mut self) -> Result<ListedTools, ListToolsError> {
        let meta = json!({"_meta": {
            "io.modelcontextprotocol/protocolVersion": STATELESS,
            "io.modelcontextprotocol/clientInfo": client_info(),
            "io.modelcontextprotocol/clientCapabilities": {},
        }});
        self.request("server/discover", meta.clone()).await?;
        let tools = self.count(&meta).await?;
        let version = STATELESS.to_owned();
        Ok(ListedTools { tools, version })
    }

    async fn count(&mut self, params: &Value) -> Result<usize, ListToolsError> {
        let (mut params, mut count) = (params.clone(), 0);
        for _ in 0..PAGES {
            let page = self.request("tools/list", params.clone()).await?;
            let tools = page["tools"].as_array().ok_or_else(|| ListToolsError {
                message: "its answer to tools/list lists no tools".to_owned(),
                data: Value::Null,
            })?;
            count += tools.len();
            match page["nextCursor"].as_str() {
                Some(cursor) => params["cursor"] = cursor.into(),
                None => break,
            }
        }
        Ok(count)
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value, ListToolsError> {
        self.asked += 1;
        let id = self.asked;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.tell(&request).await?;
        // What the server says unasked is passed over.
        loop {
            let line = self.lines.next_line().await.ok().flatten();
            let line = line.ok_or_else(gone)?;
            let mut answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if answer["id"] != id || answer.get("method").is_some() {
                continue;
            }
            return match answer.get_mut("error").map(Value::take) {
                None => Ok(answer["result"].take()),
                Some(mut error) => Err(ListToolsError {
                    message: error["message"].as_str().unwrap_or_default().to_owned(),
                    data: error["data"].take(),
                }),
            };
        }
    }

    async fn tell(&mut self, message: &Value) -> Result<(), ListToolsError> {
        let line = format!("{message}\n");
        let told = self.writer.write_all(line.as_bytes()).await;
        told.map_err(|_gone| gone())
    }
}

fn client_info() -> Value {
    json!({"name": "authkeeper", "version": env!("CARGO_PKG_VERSION")})
}

fn gone() -> ListToolsError {
    ListToolsError {
        message: "the bridge ended before the answer".to_owned(),
        data: json!({"error": CallErrorKind::Interrupted.word()}),
    }
}
