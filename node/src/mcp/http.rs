//! The same tools over streamable HTTP, on this machine alone and with a token.

use std::{net::SocketAddr, sync::Arc};

use aiemp_keys::{Hash, Secret};
use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::Response,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio::net::TcpListener;

use super::{Door, Tools};

/// Where the tools are.
pub const PATH: &str = "/mcp";

/// Serves until the process ends. `ready` gets the address once it listens. Requests that a browser makes for some page are
/// refused: they carry an `Origin`.
pub async fn serve_http(
    address: SocketAddr,
    token: Secret<String>,
    door: Door,
    ready: impl FnOnce(SocketAddr),
) -> Result<()> {
    anyhow::ensure!(
        address.ip().is_loopback(),
        "{address} is no address of this machine alone: give 127.0.0.1 or [::1]"
    );
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let config = StreamableHttpServerConfig::default().enforce_origin_validation();
    let tools = StreamableHttpService::new(
        move || Ok(Tools::new(door.clone())),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let token = Arc::new(token);
    let app = Router::new().route_service(PATH, tools).layer(middleware::from_fn_with_state(token, admit));
    ready(listener.local_addr()?);
    axum::serve(listener, app).await.context("the server ended")
}

/// Lets in who knows the token.
async fn admit(State(token): State<Arc<Secret<String>>>, request: Request, next: Next) -> Result<Response, StatusCode> {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.strip_prefix("Bearer ").unwrap_or_default();
    // Compared by digests, so that the time it takes says nothing of the token.
    let of = |text: &str| Hash::of_content(text.as_bytes());
    if of(token.expose()) == of(given) { Ok(next.run(request).await) } else { Err(StatusCode::UNAUTHORIZED) }
}
