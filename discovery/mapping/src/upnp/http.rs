//! One page of HTTP from a router, with bounds on its size and time.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method as HttpMethod, Request, StatusCode,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::Location;
use crate::{BadAnswer, MappingError, Method, Path};

/// Longest page of a router; descriptions have some 10 KiB.
const MAX_BODY: usize = 64 * 1024;
/// Longest head of an answer.
const MAX_HEAD: usize = 16 * 1024;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the router cannot be reached")]
    Io(#[from] io::Error),
    #[error("the router does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("more than {MAX_BODY} octets, or no end")]
    Body,
    #[error("no text")]
    Text,
    #[error("too slow")]
    Slow,
}

impl HttpError {
    pub(super) fn of(&self, path: &Path) -> MappingError {
        let (gateway, method) = (path.gateway(), Method::Upnp);
        match self {
            Self::Io(error) => MappingError::Link { gateway, method, kind: error.kind() },
            Self::Slow => MappingError::NoAnswer { gateway, method },
            Self::Status(status) => {
                MappingError::BadAnswer { gateway, method, what: BadAnswer::Result(status.as_u16()) }
            }
            Self::Body => MappingError::BadAnswer { gateway, method, what: BadAnswer::TooLong },
            Self::Http(_) | Self::Request(_) | Self::Text => {
                MappingError::BadAnswer { gateway, method, what: BadAnswer::Format }
            }
        }
    }
}

/// Reads a page.
pub(super) async fn get(location: &Location, patience: Duration) -> Result<String, HttpError> {
    let request = Request::builder().method(HttpMethod::GET);
    let (status, page) = fetch(location, request, String::new(), patience).await?;
    if status == StatusCode::OK { Ok(page) } else { Err(HttpError::Status(status)) }
}

/// Calls a SOAP action. Faults come with status 500.
pub(super) async fn post(
    location: &Location,
    action: &str,
    body: String,
    patience: Duration,
) -> Result<String, HttpError> {
    let request = Request::builder()
        .method(HttpMethod::POST)
        .header(CONTENT_TYPE, "text/xml; charset=\"utf-8\"")
        .header("SOAPAction", action);
    let (status, page) = fetch(location, request, body, patience).await?;
    match status {
        StatusCode::OK | StatusCode::INTERNAL_SERVER_ERROR => Ok(page),
        status => Err(HttpError::Status(status)),
    }
}

async fn fetch(
    location: &Location,
    request: hyper::http::request::Builder,
    body: String,
    patience: Duration,
) -> Result<(StatusCode, String), HttpError> {
    let request = request
        .uri(location.path.as_str())
        .header(HOST, location.address.to_string())
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body)))?;
    let exchange = async {
        let stream = TcpStream::connect(location.address).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_HEAD).max_headers(64);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let page = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|_| HttpError::Body)?.to_bytes();
            let text = String::from_utf8(body.to_vec()).map_err(|_| HttpError::Text)?;
            Ok((status, text))
        };
        // The connection moves the octets; its own end matters only if it comes before the page.
        let mut page = std::pin::pin!(page);
        tokio::select! {
            biased;
            page = &mut page => page,
            _ = connection => page.await,
        }
    };
    timeout(patience, exchange).await.unwrap_or(Err(HttpError::Slow))
}
