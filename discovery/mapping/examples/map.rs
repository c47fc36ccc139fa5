//! Opens ports of the router until it is told to stop, and reaches such ports from outside.
//!
//! ```text
//! map open METHOD LIFETIME tcp:PORT|udp:PORT…   METHOD: any, upnp, pmp, pcp; LIFETIME in seconds
//! map reach tcp|udp IP:PORT                     sends a line there and awaits it back, for two seconds
//! ```
//! `open` answers at the ports with what it gets, and prints a line for each change:
//!
//! ```text
//! udp 4000 ipv4 mapped 198.51.100.1:4000 by PCP for 7200 s
//! udp 4000 ipv6 failed: no router: this machine has no default route
//! ```
//! It ends at SIGTERM or SIGINT, when the mappings are deleted. Logs go to stderr as `RUST_LOG` says.
#![allow(clippy::print_stdout, reason = "it speaks to whoever started it on stdout")]

use std::{
    error::Error,
    net::{Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use causeway_mapping::{Mapper, MappingConfig, MappingStatus, PortState, PortWish, Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What is sent there and back.
const LINE: &[u8] = b"is anybody there?\n";
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest piece that is sent back.
const MAX_PIECE: usize = 2048;

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["open", methods, lifetime, ref ports @ ..] => {
            let wishes = ports.iter().map(|port| wish(port)).collect::<Result<Vec<_>, _>>()?;
            let lifetime = Duration::from_secs(lifetime.parse()?);
            open(MappingConfig { lifetime, ..MappingConfig::new(methods.parse()?, wishes) }).await
        }
        ["reach", protocol, address] => reach(protocol_of(protocol)?, address.parse()?).await,
        _ => Err("map open METHOD LIFETIME PROTOCOL:PORT… | map reach PROTOCOL IP:PORT".into()),
    }
}

fn protocol_of(word: &str) -> Result<Protocol, Box<dyn Error + Send + Sync>> {
    match word {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        other => Err(format!("{other:?} is neither tcp nor udp").into()),
    }
}

fn wish(text: &str) -> Result<PortWish, Box<dyn Error + Send + Sync>> {
    let (protocol, port) = text.split_once(':').ok_or("a port is written udp:4000")?;
    Ok(PortWish { protocol: protocol_of(protocol)?, internal: port.parse()?, name: "example" })
}

async fn open(config: MappingConfig) -> Outcome {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    for PortWish { protocol, internal, name: _ } in &config.ports {
        let address = (Ipv6Addr::UNSPECIFIED, *internal);
        match protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(address).await?;
                tasks.spawn(stop.clone().run_until_cancelled_owned(echo_tcp(listener)));
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(address).await?;
                tasks.spawn(stop.clone().run_until_cancelled_owned(echo_udp(socket)));
            }
        }
    }
    let mut status = Mapper::start(config, &tasks, stop.clone())?.status();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut before = MappingStatus::default();
    loop {
        let now = status.borrow_and_update().clone();
        print(&before, &now);
        before = now;
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            changed = status.changed() => changed?,
        }
    }
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    println!("stopped");
    Ok(())
}

fn print(before: &MappingStatus, now: &MappingStatus) {
    for (index, port) in now.ports.iter().enumerate() {
        let known = before.ports.get(index);
        let families = [
            ("ipv4", known.map(|known| &known.ipv4), &port.ipv4),
            ("ipv6", known.map(|known| &known.ipv6), &port.ipv6),
        ];
        for (family, known, state) in families {
            if known != Some(state) {
                let protocol = port.wish.protocol.to_string().to_lowercase();
                println!("{protocol} {} {family} {}", port.wish.internal, told(state));
            }
        }
    }
}

fn told(state: &PortState) -> String {
    match state {
        PortState::Asking => "asking".to_owned(),
        PortState::Unneeded => "unneeded".to_owned(),
        PortState::Off => "off".to_owned(),
        PortState::Failed(error) => format!("failed: {error}"),
        PortState::Mapped(mapping) => {
            let rest = mapping.expires.map(|end| end.saturating_duration_since(Instant::now()));
            let rest = rest.map_or_else(|| "ever".to_owned(), |rest| format!("{:.0} s", rest.as_secs_f64()));
            format!("mapped {} by {} for {rest}", mapping.external, mapping.method)
        }
    }
}

/// One at a time is enough here.
async fn echo_tcp(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut piece = [0; MAX_PIECE];
        if let Ok(Ok(length)) = timeout(PATIENCE, stream.read(&mut piece)).await {
            let _ = stream.write_all(piece.get(..length).unwrap_or_default()).await;
        }
    }
}

async fn echo_udp(socket: UdpSocket) {
    let mut piece = [0; MAX_PIECE];
    while let Ok((length, from)) = socket.recv_from(&mut piece).await {
        let _ = socket.send_to(piece.get(..length).unwrap_or_default(), from).await;
    }
}

async fn reach(protocol: Protocol, address: SocketAddr) -> Outcome {
    let asking = async {
        let mut piece = [0; MAX_PIECE];
        let length = match protocol {
            Protocol::Tcp => {
                let mut stream = TcpStream::connect(address).await?;
                stream.write_all(LINE).await?;
                stream.read(&mut piece).await?
            }
            Protocol::Udp => {
                let local: SocketAddr = match address {
                    SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
                    SocketAddr::V6(_) => ([0; 8], 0).into(),
                };
                let socket = UdpSocket::bind(local).await?;
                socket.connect(address).await?;
                socket.send(LINE).await?;
                socket.recv(&mut piece).await?
            }
        };
        Ok::<_, std::io::Error>(piece.get(..length) == Some(LINE))
    };
    if timeout(PATIENCE, asking).await?? {
        println!("reached");
        Ok(())
    } else {
        Err("something else answers there".into())
    }
}
