//! `causeway health`: the probe of container runtimes, which have neither a shell nor an HTTP client.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::print_line;
use crate::cli::HealthArgs;

/// How long the whole question may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Longest answer that is read.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Exit code 0 if the node says that it is well, else 1.
///
/// # Errors
/// If nobody answers.
pub(crate) async fn run(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = timeout(PATIENCE, ask(&args.probe, path))
        .await
        .with_context(|| format!("{} did not answer within {} s", args.probe, PATIENCE.as_secs()))??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    print_line(body.trim());
    let healthy = head.starts_with("HTTP/1.1 200");
    Ok(ExitCode::from(u8::from(!healthy)))
}

/// The whole answer to a question.
pub(super) async fn ask(probe: &str, path: &str) -> anyhow::Result<String> {
    let stream = open(probe, path).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    if answer.is_empty() {
        bail!("{probe} closed the connection without an answer");
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Puts a question; the answer is there to be read.
pub(super) async fn open(probe: &str, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(probe).await.with_context(|| {
        format!("nobody listens on {probe}: is the relay running, and is --probe its http address?")
    })?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {probe}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}
